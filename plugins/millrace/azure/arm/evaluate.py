"""Evaluates a composed template as Azure would: conditions, loops, order, nested deployments, outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millrace.azure.arm.binding import bind
from millrace.azure.arm.errors import TemplateError, within
from millrace.azure.arm.frame import Frame
from millrace.azure.arm.live import Live, World
from millrace.azure.arm.model import DEPLOYMENTS, Deployment, Pending, Resource
from millrace.azure.arm.plan import Planned, in_order, plan
from millrace.azure.arm.scope import Scope

__all__ = ["evaluate"]

_NOT_SENT = frozenset({"apiVersion", "comments", "condition", "copy", "dependsOn", "name", "scope", "type"})
# A nested deployment's own place is in its URL.
_NOT_SENT_NESTED = _NOT_SENT | {"resourceGroup", "subscriptionId"}


def evaluate(
    template: Mapping[str, Any],
    parameters: Mapping[str, Any],
    scope: Scope,
    existing: Callable[[str], Mapping[str, Any] | None] = lambda _: None,
) -> Deployment:
    """What deploying `template` to `scope` would create.

    `parameters` are plain values by name. Values that Azure tells only after creation read `<path of resource>`;
    `existing(id)` may tell those of resources that exist. Raises TemplateError with the place of what Azure refuses.
    """
    return _deploy(template, parameters, scope, World(existing))


def _deploy(template: Mapping[str, Any], parameters: Mapping[str, Any], scope: Scope, world: World) -> Deployment:
    frame = bind(template, parameters, scope, world)
    planned = plan(template, frame)
    names = {one.name.lower(): one.id for one in planned if one.wanted}
    resources: list[Resource] = []
    nested: dict[str, Deployment] = {}
    for one, before in in_order(planned):
        with within(f"{one.place} {one.name!r}"):
            resource = _resource(one, names, before)
            world.resources[resource.id.lower()] = resource
            resources.append(resource)
            if one.raw["type"] == DEPLOYMENTS:
                deployed = _deploy_nested(one, names, world)
                nested[resource.id] = world.deployments[resource.id.lower()] = deployed
    return Deployment(scope, tuple(resources), nested, _outputs(template, frame.deploying(names)))


def _resource(one: Planned, names: Mapping[str, str], before: tuple[str, ...]) -> Resource:
    hidden = _NOT_SENT_NESTED if one.raw["type"] == DEPLOYMENTS else _NOT_SENT
    raw = {key: value for key, value in one.raw.items() if key not in hidden}
    frame = one.frame.deploying(names)
    if one.raw["type"] == DEPLOYMENTS:  # its template is its own: inner scope
        properties = raw["properties"]
        own = {key: frame.value(value) for key, value in properties.items() if key != "template"}
        body = frame.value({key: value for key, value in raw.items() if key != "properties"})
        body["properties"] = {**own, "template": properties.get("template")}
    else:
        body = frame.value(raw)
    return Resource(one.id, one.raw["type"], one.name, one.raw["apiVersion"], _settled(body), before)


def _deploy_nested(one: Planned, names: Mapping[str, str], world: World) -> Deployment:
    properties = one.raw["properties"]
    if "template" not in properties:
        raise TemplateError("has no template inside; compose() puts linked modules in")
    if properties.get("expressionEvaluationOptions", {}).get("scope", "outer").lower() != "inner":
        raise TemplateError("is evaluated in the outer scope; set expressionEvaluationOptions.scope to Inner")
    frame = one.frame.deploying(names)
    given: dict[str, Any] = {}
    for name, entry in properties.get("parameters", {}).items():
        with within(f"parameters.{name}"):
            given[name] = _settled(frame.value(entry["value"]), pending=True)
    where = (frame.value(one.raw.get(key)) for key in ("resourceGroup", "subscriptionId"))
    return _deploy(properties["template"], given, frame.scope.nested(one.name, *where), world)


def _outputs(template: Mapping[str, Any], frame: Frame) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name, output in template.get("outputs", {}).items():
        with within(f"output {name!r}"):
            if frame.value(output.get("condition", True)):
                found[name] = _settled(frame.value(output["value"]), pending=True)
    return found


def _settled(value: Any, *, pending: bool = False) -> Any:
    """`value` with what a reference returned as plain values; Pendings become text unless `pending` keeps them."""
    if isinstance(value, Live):
        value = dict(value.known) if value.known else Pending(value.resource_id, value.path)
    if isinstance(value, Pending):
        return value if pending else str(value)
    if isinstance(value, Mapping):
        return {key: _settled(item, pending=pending) for key, item in value.items()}
    return [_settled(item, pending=pending) for item in value] if isinstance(value, list) else value

"""Azure's JSON of deployments, of their operations, and of what a deployment would change."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from typing import Any

from millrace.azure.arm import Deployment, Resource
from tests.azure_control_plane.resources import Resources, settled
from tests.azure_control_plane.runs import Run, Step

__all__ = ["described", "foreseen", "operations"]

_KIND = "Microsoft.Resources/deployments"
_STATUS = {"Succeeded": "OK", "Running": "OK", "Failed": "Conflict"}


def described(run: Run) -> dict[str, Any]:
    """A deployment, with no value of a secure parameter."""
    asked = run.body["properties"]
    declared = {name.lower(): rule for name, rule in asked["template"].get("parameters", {}).items()}
    shown = {name: _parameter(declared[name.lower()], given) for name, given in asked.get("parameters", {}).items()}
    properties: dict[str, Any] = {
        "mode": asked["mode"],
        "parameters": settled(shown),
        "provisioningState": run.state,
        "correlationId": run.correlation,
        "timestamp": _time(run.at),
        "duration": _duration(run.at),
    }
    if run.state == "Succeeded":
        properties["outputs"] = run.outputs()
        properties["outputResources"] = [{"id": one.id} for one in run.deployment.everything()]
    if run.error:
        properties["error"] = run.error
    place = {"location": run.body["location"]} if "location" in run.body else {}
    return {"id": run.id, "name": run.id.rpartition("/")[2], "type": _KIND, **place, "properties": properties}


def operations(run: Run) -> dict[str, Any]:
    """The list of a deployment's operations that have begun."""
    begun = [_operation(run, step) for step in run.steps if step.state != "Waiting"]
    return {"value": begun}


def foreseen(deployment: Deployment, known: Resources) -> list[dict[str, Any]]:
    """A change per resource, against what is there."""
    return [_change(resource, known) for resource in deployment.everything()]


def _operation(run: Run, step: Step) -> dict[str, Any]:
    resource = step.resource
    target = {"id": resource.id, "resourceType": resource.type, "resourceName": resource.name}
    properties: dict[str, Any] = {
        "provisioningOperation": "Create",
        "provisioningState": step.state,
        "timestamp": _time(step.at),
        "duration": _duration(step.at),
        "statusCode": _STATUS[step.state],
        "targetResource": target,
    }
    if step.error:
        properties["statusMessage"] = {"status": "Failed", "error": step.error}
    return {
        "id": f"{run.id}/operations/{step.operation}",
        "operationId": step.operation,
        "properties": properties,
    }


def _change(resource: Resource, known: Resources) -> dict[str, Any]:
    stored, after = known.find(resource.id), _whole(resource)
    if stored is None:
        return {"resourceId": resource.id, "changeType": "Create", "after": after}
    before = _whole(stored.resource)
    delta = list(_delta(before, after))
    change = {"resourceId": resource.id, "changeType": "Modify" if delta else "NoChange"}
    return {**change, "before": before, "after": after, **({"delta": delta} if delta else {})}


def _whole(resource: Resource) -> dict[str, Any]:
    head = {"apiVersion": resource.api_version, "id": resource.id, "type": resource.type, "name": resource.name}
    body: dict[str, Any] = settled(resource.body)
    return {**head, **body}


def _delta(before: Any, after: Any, path: str = "") -> Iterator[dict[str, Any]]:
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        for key in {**before, **after}:
            inside = f"{path}.{key}" if path else str(key)
            yield from _delta(before.get(key), after.get(key), inside)
    elif before != after:
        kind = "Create" if before is None else "Delete" if after is None else "Modify"
        values = {"before": before, "after": after}
        yield {"path": path, "propertyChangeType": kind, **{k: v for k, v in values.items() if v is not None}}


def _parameter(rule: Mapping[str, Any], given: Mapping[str, Any]) -> dict[str, Any]:
    secure = rule["type"].lower().startswith("secure")
    return {"type": rule["type"].title(), **({} if secure else {"value": given["value"]})}


def _time(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


def _duration(since: datetime) -> str:
    return f"PT{(datetime.now(UTC) - since).total_seconds():.3f}S"

"""The first pass over a template: which resources there will be, their ids, and what must come before what."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from typing import Any

from millrace.azure.arm.errors import TemplateError, within
from millrace.azure.arm.frame import Frame
from millrace.azure.arm.model import DEPLOYMENTS
from millrace.azure.arm.resource_ids import resource_id
from millrace.azure.arm.scope import Scope

__all__ = ["Planned", "in_order", "plan"]


@dataclass(frozen=True)
class Planned:
    """A resource by name: `wanted` is its condition, `place` where it stands in the template."""

    raw: Mapping[str, Any]
    place: str
    name: str
    id: str
    wanted: bool
    frame: Frame
    loop: str | None

    def depends_on(self) -> list[str]:
        """What its dependsOn names: ids, names or loops."""
        with within(f"{self.place}.dependsOn"):
            return [self.frame.value(target) for target in self.raw.get("dependsOn", [])]


def plan(template: Mapping[str, Any], frame: Frame) -> list[Planned]:
    """Every resource of the template, loops unrolled, those with a false condition too."""
    found: list[Planned] = []
    for index, raw in enumerate(template["resources"]):
        place = f"resources[{index}] {raw['type']}"
        with within(place):
            if "resources" in raw:
                raise TemplateError("child resources inside a resource are not evaluated here; declare them beside it")
            loop = raw.get("copy")
            frames = frame.repeated(loop) if loop else [frame]
            found.extend(_planned(raw, place, one, loop["name"] if loop else None) for one in frames)
    ids = [one.id.lower() for one in found if one.wanted]
    twice = sorted({each for each in ids if ids.count(each) > 1})
    if twice:
        raise TemplateError(f"declared twice: {', '.join(twice)}")
    return found


def _planned(raw: Mapping[str, Any], place: str, frame: Frame, loop: str | None) -> Planned:
    name = frame.value(raw["name"])
    wanted = frame.value(raw.get("condition", True))
    if not isinstance(wanted, bool):
        raise TemplateError(f"condition is {wanted!r}; it must be true or false")
    identifier = resource_id(_home(raw, frame), raw["type"], *name.split("/"))
    return Planned(raw, place, name, identifier, wanted, frame, loop)


def _home(raw: Mapping[str, Any], frame: Frame) -> str:
    """The id that the resource's id begins with."""
    if "scope" in raw:
        return str(frame.value(raw["scope"]))
    scope: Scope = frame.scope
    if raw["type"] == DEPLOYMENTS and ("resourceGroup" in raw or "subscriptionId" in raw):
        scope = scope.nested(
            scope.deployment_name, *(frame.value(raw.get(key)) for key in ("resourceGroup", "subscriptionId"))
        )
    return scope.id


def in_order(planned: Iterable[Planned]) -> list[tuple[Planned, tuple[str, ...]]]:
    """The resources whose condition holds, each after what it depends on, with the ids of that.

    Raises TemplateError for a circle, and for a dependency on something that the template does not declare.
    """
    every = list(planned)
    wanted = {one.id.lower(): one for one in every if one.wanted}
    before = {key: [target for target in _targets(one, every) if target in wanted] for key, one in wanted.items()}
    try:
        order = list(TopologicalSorter(before).static_order())
    except CycleError as error:
        raise TemplateError(f"resources depend on each other in a circle: {' -> '.join(error.args[1])}") from error
    return [(wanted[key], tuple(wanted[target].id for target in before[key])) for key in order]


def _targets(one: Planned, every: list[Planned]) -> list[str]:
    found: list[str] = []
    for target in one.depends_on():
        meant = [
            other.id.lower()
            for other in every
            if target.lower() in (other.id.lower(), other.name.lower(), (other.loop or "").lower())
        ]
        if not meant:
            raise TemplateError(f"{one.place}: depends on {target!r}, which the template does not declare")
        found.extend(meant)
    return found

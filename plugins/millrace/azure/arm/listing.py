"""What a deployment would create, a line per resource."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from millrace.azure.arm.model import Deployment, Resource

__all__ = ["Line", "lines"]


@dataclass(frozen=True)
class Line:
    """One resource. `module` is None for what main.json itself declares.

    `depends_on` has names: of resources of the same module, and of modules (`module storage`) that come before its own.
    """

    type: str
    name: str
    module: str | None
    depends_on: tuple[str, ...]
    id: str
    api_version: str


def lines(deployment: Deployment) -> list[Line]:
    """Every resource in an order in which they can be created."""
    return list(_lines(deployment, None, ()))


def _lines(deployment: Deployment, module: str | None, before: tuple[str, ...]) -> Iterator[Line]:
    shown = {one.id: _shown(one, one.id in deployment.nested) for one in deployment.resources}
    for one in deployment.resources:
        own = tuple(shown[each] for each in one.depends_on)
        if one.id in deployment.nested:
            yield from _lines(deployment.nested[one.id], one.name, before + own)
        else:
            yield Line(one.type, one.name, module, own + before, one.id, one.api_version)


def _shown(resource: Resource, is_module: bool) -> str:
    return f"module {resource.name}" if is_module else resource.name

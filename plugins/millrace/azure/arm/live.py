"""What `reference()` and `list*()` see: what the template sets, outputs of deployments, and what is pending."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from millrace.azure.arm.model import Deployment, Pending, Resource

__all__ = ["Live", "World"]


@dataclass(frozen=True)
class Live:
    """A resource's properties: what the template sets is known, everything else is pending."""

    resource_id: str
    path: tuple[str, ...]
    known: Mapping[str, Any]

    def member(self, key: str) -> Any:
        """The property `key` as set by the template; a Pending where Azure will tell it."""
        path = (*self.path, key)
        value = next((value for name, value in self.known.items() if name.lower() == key.lower()), None)
        if isinstance(value, Mapping):
            return Live(self.resource_id, path, value)
        return Pending(self.resource_id, path) if value is None else value


@dataclass
class World:
    """All that one evaluation has deployed so far, by lower-case resource id.

    `existing` answers for resources that no template of this evaluation creates: id -> body, or None.
    """

    existing: Callable[[str], Mapping[str, Any] | None] = lambda _: None
    resources: dict[str, Resource] = field(default_factory=dict)
    deployments: dict[str, Deployment] = field(default_factory=dict)

    def reference(self, resource_id: str, full: bool) -> Any:
        """What `reference(resource_id)` returns; with `full`, the whole resource instead of its properties."""
        deployment = self.deployments.get(resource_id.lower())
        if deployment is not None:
            outputs = {name: {"value": value} for name, value in deployment.outputs.items()}
            properties: Any = {"outputs": outputs}
            return {"properties": properties} if full else properties
        resource = self.resources.get(resource_id.lower())
        body = resource.body if resource else self.existing(resource_id) or {}
        return Live(resource_id, (), body) if full else Live(resource_id, (), body.get("properties", {}))

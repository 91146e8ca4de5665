"""What an evaluated template is: resources, nested deployments and outputs."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from millrace.azure.arm.scope import Scope

__all__ = ["DEPLOYMENTS", "Deployment", "Pending", "Resource"]

DEPLOYMENTS = "Microsoft.Resources/deployments"


@dataclass(frozen=True)
class Pending:
    """A value that Azure tells only once a resource exists, such as the principal of a new identity."""

    resource_id: str
    path: tuple[str, ...]

    def __str__(self) -> str:
        return f"<{'.'.join(self.path)} of {self.resource_id.rpartition('/providers/')[2] or self.resource_id}>"

    def member(self, key: str) -> Pending:
        """A value inside this one."""
        return Pending(self.resource_id, (*self.path, key))


@dataclass(frozen=True)
class Resource:
    """One resource as it would be sent: `body` is what a PUT carries (location, tags, sku, properties, ...).

    `depends_on` holds ids of resources of the same template whose condition holds.
    """

    id: str
    type: str
    name: str
    api_version: str
    body: Mapping[str, Any]
    depends_on: tuple[str, ...]


@dataclass(frozen=True)
class Deployment:
    """A template evaluated at a scope. `resources` come in an order in which they can be created.

    `nested` maps the id of a deployment resource to what it deploys. Secure outputs are not refused here.
    """

    scope: Scope
    resources: tuple[Resource, ...]
    nested: Mapping[str, Deployment]
    outputs: Mapping[str, Any]

    def everything(self) -> Iterator[Resource]:
        """All resources in order, those of nested deployments in the place of the deployment that brings them."""
        for resource in self.resources:
            if resource.id in self.nested:
                yield from self.nested[resource.id].everything()
            else:
                yield resource

"""Resource ids from types and names, as the functions resourceId, subscriptionResourceId and their like make them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from millrace.azure.arm.errors import TemplateError
from millrace.azure.arm.scope import Scope

__all__ = ["id_functions", "resource_id"]


def resource_id(scope: str, resource_type: str, *names: str) -> str:
    """`<scope>/providers/Microsoft.A/bs/<b>/cs/<c>` for the type `Microsoft.A/bs/cs` and the names b and c.

    A resource group's id has no provider in it. Raises TemplateError where the type has not one segment per name.
    """
    if resource_type.lower() == "microsoft.resources/resourcegroups" and len(names) == 1:
        return f"{scope}/resourceGroups/{names[0]}"
    provider, *kinds = resource_type.split("/")
    if "." not in provider or len(kinds) != len(names):
        raise TemplateError(
            f"resource type {resource_type!r} with the names {list(names)}: one name per segment is needed"
        )
    path = "/".join(f"{kind}/{name}" for kind, name in zip(kinds, names, strict=True))
    return f"{scope.rstrip('/')}/providers/{provider}/{path}"


def id_functions(scope: Scope) -> Mapping[str, Callable[..., Any]]:
    """The id functions as they work in a deployment to `scope`."""

    def in_scope(*arguments: str) -> str:
        before, rest = _split_at_type("resourceId", arguments)
        subscription = before[0] if len(before) == 2 else scope.subscription_id
        group = before[-1] if before else scope.resource_group
        where = f"/subscriptions/{subscription}" + (f"/resourceGroups/{group}" if group else "")
        return resource_id(where, *rest)

    def in_subscription(*arguments: str) -> str:
        before, rest = _split_at_type("subscriptionResourceId", arguments)
        return resource_id(f"/subscriptions/{before[0] if before else scope.subscription_id}", *rest)

    return {
        "extensionresourceid": resource_id,
        "resourceid": in_scope,
        "subscriptionresourceid": in_subscription,
        "tenantresourceid": lambda *rest: resource_id("", *rest),
    }


def _split_at_type(function: str, arguments: tuple[str, ...]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The arguments before the type (subscription, resource group), and those from it on."""
    for index, argument in enumerate(arguments[:3]):
        if "/" in str(argument):
            return arguments[:index], arguments[index:]
    raise TemplateError(f"{function}{arguments}: no resource type such as 'Microsoft.Storage/storageAccounts' in it")

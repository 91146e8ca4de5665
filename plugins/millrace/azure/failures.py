"""The real error of a deployment: Azure wraps it, once per nesting, in "at least one operation failed"."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

__all__ = ["innermost", "may_pass", "shown"]

# Codes of what is worth another try: https://learn.microsoft.com/azure/azure-resource-manager/troubleshooting/common-deployment-errors
_MAY_PASS = frozenset(
    {
        "AnotherOperationInProgress",
        "GatewayTimeout",
        "InternalServerError",
        "OperationTimedOut",
        "PrincipalNotFound",  # a new identity is not known everywhere at once
        "ReferencedResourceNotProvisioned",
        "ResourceGroupBeingDeleted",
        "RetryableError",
        "RetryableErrorDueToAnotherOperation",
        "ServerTimeout",
        "ServiceUnavailable",
        "StorageAccountOperationInProgress",
        "TooManyRequests",
    }
)


def innermost(error: Mapping[str, Any]) -> Mapping[str, Any]:
    """The error inside `error` that says most: the first detail of the first detail, also where a message is JSON.

    `error` has `code`, `message`, and perhaps `details`: a list of the same.
    """
    for detail in error.get("details") or ():
        return innermost(detail)
    inside = _json_in(error.get("message"))
    return innermost(inside) if inside else error


def shown(error: Mapping[str, Any]) -> str:
    """`code: message` of the innermost error."""
    found = innermost(error)
    return f"{found.get('code') or 'no code'}: {found.get('message') or 'no message'}"


def may_pass(error: Mapping[str, Any]) -> bool:
    """Whether another try may end better, with nothing changed by a person."""
    return innermost(error).get("code") in _MAY_PASS


def _json_in(message: Any) -> Mapping[str, Any] | None:
    try:
        found = json.loads(message)
    except (TypeError, ValueError):
        return None
    error = found.get("error", found) if isinstance(found, dict) else None
    return error if isinstance(error, dict) and "code" in error else None

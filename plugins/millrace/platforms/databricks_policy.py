"""The cluster policy that every job's cluster keeps to: its runtime is pinned, and so is what it may cost.

https://learn.microsoft.com/azure/databricks/admin/clusters/policy-definition
"""

from __future__ import annotations

import json
from typing import Any

from databricks.sdk.service.compute import Policy

from jobs.errors import MillraceError
from millrace.platforms.databricks_client import Workspace
from millrace.platforms.databricks_settings import DatabricksSettings

__all__ = ["definition", "policy_id", "prepare_policy"]

_DESCRIPTION = "Clusters of Millrace's jobs: made by `millrace azure databricks`, which overwrites changes."


def definition(settings: DatabricksSettings) -> dict[str, Any]:
    """The policy of these settings."""
    machines: dict[str, dict[str, Any]]
    if settings.pool:
        machines = {"instance_pool_id": _fixed(settings.pool)}
    else:
        types = sorted({settings.node_type, settings.driver_node_type or settings.node_type})
        machines = {
            "node_type_id": {"type": "allowlist", "values": types},
            "driver_node_type_id": {"type": "allowlist", "values": types, "isOptional": True},
        }
    return {
        "cluster_type": _fixed("job"),
        "spark_version": _fixed(settings.runtime),
        "data_security_mode": _fixed("SINGLE_USER"),
        "runtime_engine": _fixed("STANDARD"),
        "num_workers": {"type": "range", "maxValue": settings.workers},
        "custom_tags.millrace-environment": {"type": "unlimited", "isOptional": False},
        **machines,
    }


def policy_id(workspace: Workspace, name: str) -> str:
    """The policy's id; raises MillraceError where there is none of this name."""
    found = _find(workspace, name)
    if found is None or found.policy_id is None:
        raise MillraceError(f"{workspace.host} has no cluster policy {name!r}; run `millrace azure databricks` once")
    return found.policy_id


def prepare_policy(workspace: Workspace, settings: DatabricksSettings) -> str:
    """Create the policy, or set it right; what happened, in words. Nothing is sent where it is right."""
    wanted, found = definition(settings), _find(workspace, settings.policy)
    text = json.dumps(wanted)
    what = f"the cluster policy {settings.policy!r}"
    if found is None or found.policy_id is None:
        workspace.call(
            f"create {what}",
            lambda client: client.cluster_policies.create(
                name=settings.policy, definition=text, description=_DESCRIPTION
            ),
        )
        return f"created {what}"
    if json.loads(found.definition or "{}") == wanted:
        return f"{what} is there"
    number = found.policy_id
    workspace.call(
        f"edit {what}",
        lambda client: client.cluster_policies.edit(
            number, name=settings.policy, definition=text, description=_DESCRIPTION
        ),
    )
    return f"corrected {what}"


def _find(workspace: Workspace, name: str) -> Policy | None:
    policies = workspace.call("list the cluster policies", lambda client: list(client.cluster_policies.list()))
    return next((policy for policy in policies if policy.name == name), None)


def _fixed(value: str) -> dict[str, str]:
    return {"type": "fixed", "value": value}

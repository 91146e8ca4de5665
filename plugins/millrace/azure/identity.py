"""Who one is to Azure: by an Airflow connection of type `azure`, or as oneself."""

from __future__ import annotations

import copy
import json
from typing import TYPE_CHECKING, cast

from jobs.errors import UsageError

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from azure.core.credentials import TokenCredential

__all__ = ["credential_of", "with_identity"]


def credential_of(connection: str | None) -> TokenCredential:
    """A new credential, without a token from before; it keeps those that it gets until shortly before their end.

    The connection (its id) is the Azure provider's: a service principal, a managed identity or a workload identity.
    None: whoever `DefaultAzureCredential` finds on this machine. Raises UsageError for a connection that is unsound.
    """
    if connection is None:
        from azure.identity import DefaultAzureCredential  # here, as below: they take a second to load

        return DefaultAzureCredential()
    from airflow.providers.microsoft.azure.hooks.base_azure import AzureBaseHook

    hook = AzureBaseHook(conn_id=connection)
    return cast("TokenCredential", hook.get_credential(conn=with_identity(hook.get_connection(connection))))


def with_identity(connection: Connection) -> Connection:
    """A copy that asks for azure-identity's credentials. Raises UsageError where one half of an identity is missing."""
    extra = dict(connection.extra_dejson)
    # The provider takes the two together, and silently another identity where one is missing.
    if bool(extra.get("managed_identity_client_id")) != bool(extra.get("workload_identity_tenant_id")):
        raise UsageError(
            f"connection {connection.conn_id!r} has one of managed_identity_client_id and workload_identity_tenant_id; "
            "the provider ignores one without the other; set both or neither"
        )
    checked = copy.copy(connection)
    checked.extra = json.dumps(extra | {"use_azure_identity_object": True})
    return checked

"""What a workspace needs before jobs run there: the cluster policy, the secret scope, and a folder for the code."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial

from databricks.sdk import WorkspaceClient
from databricks.sdk.service.workspace import AzureKeyVaultSecretScopeMetadata, ScopeBackendType

from jobs.errors import MillraceError
from millrace.platforms.databricks_client import Workspace
from millrace.platforms.databricks_policy import prepare_policy
from millrace.platforms.databricks_settings import DatabricksSettings

__all__ = ["KeyVault", "prepare"]


@dataclass(frozen=True)
class KeyVault:
    """A Key Vault of Azure: its resource id, and its address, https://<name>.vault.azure.net/."""

    resource_id: str
    address: str


def prepare(workspace: Workspace, settings: DatabricksSettings, vault: KeyVault | None) -> Iterator[str]:
    """Make what is missing; what happened, in words. Run twice, the second time changes nothing.

    Raises MillraceError for what somebody else must do: a volume, or a secret that is not in the vault.
    """
    yield prepare_policy(workspace, settings)
    for folder in filter(None, (settings.code, settings.logs)):
        workspace.call(f"make {folder}", partial(_make, folder))
        yield f"{folder} is there"
    if settings.secrets:
        yield _prepare_scope(workspace, settings.secret_scope, vault)
        _check_secrets(workspace, settings)
        yield f"its secrets are there: {', '.join(sorted(set(settings.secrets.values())))}"


def _make(folder: str, client: WorkspaceClient) -> None:
    client.files.create_directory(folder)


def _prepare_scope(workspace: Workspace, scope: str, vault: KeyVault | None) -> str:
    scopes = workspace.call("list the secret scopes", lambda client: list(client.secrets.list_scopes()))
    if any(found.name == scope for found in scopes):
        return f"the secret scope {scope!r} is there"
    if vault is None:
        raise MillraceError(
            f"{workspace.host} has no secret scope {scope!r}; give the Key Vault that it is to be backed by:"
            " --vault-id and --vault-address"
        )
    backend = AzureKeyVaultSecretScopeMetadata(resource_id=vault.resource_id, dns_name=vault.address)
    workspace.call(
        f"create the secret scope {scope!r}",
        lambda client: client.secrets.create_scope(
            scope, scope_backend_type=ScopeBackendType.AZURE_KEYVAULT, backend_azure_keyvault=backend
        ),
    )
    return f"created the secret scope {scope!r}, backed by {vault.address}"


def _check_secrets(workspace: Workspace, settings: DatabricksSettings) -> None:
    """Their names: nobody reads their values."""
    scope = settings.secret_scope
    found = workspace.call(f"list the secrets of {scope!r}", lambda client: list(client.secrets.list_secrets(scope)))
    if missing := sorted(set(settings.secrets.values()) - {secret.key for secret in found}):
        raise MillraceError(f"the secret scope {scope!r} has no secret {missing[0]!r}; put it into the Key Vault")

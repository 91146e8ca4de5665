"""What belongs to an environment on Azure, found by the tag that every template sets, and its end."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.errors import UsageError
from millrace.azure.asking import Asking

if TYPE_CHECKING:
    from azure.mgmt.resource.deployments import DeploymentsMgmtClient
    from azure.mgmt.resource.resources import ResourceManagementClient

    from millrace.azure.hook import ResourceManagerHook

__all__ = ["TAG", "DeletedVault", "Environments", "tag_value"]

TAG = "millrace-environment"
"""Its value is `<prefix>-<size>`, as main.json has it: several environments of one size may share a subscription."""

_ACCOUNTS = "resourceType eq 'Microsoft.Storage/storageAccounts'"
_VAULT_API = "2023-07-01"


@dataclass(frozen=True)
class DeletedVault:
    """A Key Vault that was deleted, and keeps its name until it is purged or its time is over."""

    name: str
    location: str
    is_protected: bool


class Environments:
    """Resources, as one connection sees them. `environment` is a value of the tag: see `tag_value`.

    Every method blocks, and raises RefusedError or PassingError.
    """

    def __init__(self, hook: ResourceManagerHook) -> None:
        self._subscription = f"/subscriptions/{hook.subscription_id}"
        self._azure: Asking[ResourceManagementClient] = Asking(hook.resources)
        self._plain: Asking[DeploymentsMgmtClient] = Asking(hook.deployments)

    def find(self, resource_id: str, api_version: str) -> Mapping[str, Any] | None:
        """A resource, as Azure describes it; None where there is none."""

        def ask(client: ResourceManagementClient) -> Mapping[str, Any]:
            return client.resources.get_by_id(resource_id, api_version=api_version).as_dict()

        return self._azure.find(resource_id, ask)

    def delete(self, resource_id: str, api_version: str) -> None:
        """Delete a resource, and wait until it is gone. Nothing happens where it is gone already."""
        self._azure.find(
            f"deleting {resource_id}",
            lambda client: client.resources.begin_delete_by_id(resource_id, api_version=api_version).result(),
        )

    def groups(self, environment: str) -> dict[str, str]:
        """The state of each resource group that bears the environment's tag, by name; but for those that a resource
        manages, as Databricks does one with its workspace's tags: nobody may delete them, and they go with it."""
        asked = f"tagName eq '{TAG}' and tagValue eq '{environment}'"
        every = self._azure.ask("resource groups", lambda client: list(client.resource_groups.list(filter=asked)))
        own = [group for group in every if not group.managed_by]
        return {str(group.name): str(group.properties and group.properties.provisioning_state) for group in own}

    def storage_accounts(self, environment: str) -> list[str]:
        """The names of its storage accounts, but for those that are being deleted with their group."""

        def ask(client: ResourceManagementClient) -> list[str]:
            return [str(one.name) for one in client.resources.list_by_resource_group(group, filter=_ACCOUNTS)]

        found: list[str] = []
        for group, state in self.groups(environment).items():
            if state != "Deleting":
                found += self._azure.find(f"resource group {group}", ask) or []
        return sorted(found)

    def contents(self, group: str) -> list[str]:
        """`type name` of each resource in a group, for people to read."""

        def ask(client: ResourceManagementClient) -> list[str]:
            return sorted(f"{one.type} {one.name}" for one in client.resources.list_by_resource_group(group))

        return self._azure.find(f"resource group {group}", ask) or []

    def begin_delete_group(self, group: str) -> None:
        """Begin to delete a group and all in it. Nothing happens where it is gone already."""
        self._azure.find(
            f"deleting resource group {group}",
            lambda client: client.resource_groups.begin_delete(group, polling=False) and None,
        )

    def deleted_vaults(self, environment: str) -> list[DeletedVault]:
        """The environment's vaults that are deleted and keep their names."""
        path = f"{self._subscription}/providers/Microsoft.KeyVault/deletedVaults?api-version={_VAULT_API}"
        found = self._plain.ask("deleted vaults", lambda client: list(_listed(client, path)))
        return [
            DeletedVault(one["name"], properties["location"], bool(properties.get("purgeProtectionEnabled")))
            for one in found
            if (properties := one["properties"]).get("tags", {}).get(TAG) == environment
        ]

    def purge(self, vault: DeletedVault) -> None:
        """Begin to delete a vault for good, so that its name is free. Its secrets cannot be had back."""
        where = f"{self._subscription}/providers/Microsoft.KeyVault/locations/{vault.location}/deletedVaults"
        path = f"{where}/{vault.name}/purge?api-version={_VAULT_API}"
        self._plain.find(f"purging vault {vault.name}", lambda client: _sent(client, "POST", path))


def tag_value(prefix: str, size: str) -> str:
    """What the tag of an environment's resources reads. Raises UsageError where one of the two is missing."""
    if not (prefix and size):
        raise UsageError(
            f"prefix is {prefix!r}, and size {size!r}; an environment on Azure is found by both: give them as the DAG"
            " `provision` was given them"
        )
    return f"{prefix}-{size}"


def _listed(client: DeploymentsMgmtClient, path: str) -> Iterator[Mapping[str, Any]]:
    """What a list has, page after page: the subscription's, of which the environment's own may come last."""
    page: str | None = path
    while page:
        answer = _sent(client, "GET", page).json()
        yield from answer["value"]
        page = answer.get("nextLink")


def _sent(client: DeploymentsMgmtClient, method: str, path: str) -> Any:
    """The answer to a request that no client of the SDK's here has. Raises HttpResponseError."""
    from azure.core.rest import HttpRequest

    response = client.send_request(HttpRequest(method, path))
    response.raise_for_status()
    return response

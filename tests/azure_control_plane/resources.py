"""The memory of the small Azure: which resources exist, and how Azure tells of them."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from millrace.azure.arm import Resource

__all__ = ["GROUP", "Resources", "Stored", "settled"]

GROUP = "Microsoft.Resources/resourceGroups"
_PENDING = re.compile(r"<([^<> ]+) of ([^<>]+)>")
_PEERING = "Microsoft.Network/virtualNetworks/virtualNetworkPeerings"
_CLUSTER = "Microsoft.HDInsight/clusters"
_EVENT_HUB = "Microsoft.EventHub/namespaces/eventhubs"
_VAULT = "Microsoft.KeyVault/vaults"
_WORKSPACE = "Microsoft.Databricks/workspaces"


@dataclass
class Stored:
    """A resource; `looks` counts how often it was asked for, `error` says why a cluster's creation failed."""

    resource: Resource
    state: str = "Succeeded"
    looks: int = 0
    error: Mapping[str, Any] | None = None

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags."""
        return dict(self.resource.body.get("tags") or {})


@dataclass
class Resources:
    """By resource id, whatever its case. `deleted_vaults` has what is told of vaults that were deleted, by name.

    `is_cut_off`: one side of each peering was made anew, so that none connects any more.
    """

    known: dict[str, Stored] = field(default_factory=dict)
    deleted_vaults: dict[str, dict[str, Any]] = field(default_factory=dict)
    is_cut_off: bool = False

    def find(self, resource_id: str) -> Stored | None:
        """The resource of that id."""
        return self.known.get(resource_id.lower())

    def put(self, resource: Resource, state: str = "Succeeded") -> None:
        """Create or change it, and the group that it manages."""
        self.known[resource.id.lower()] = Stored(resource, state)
        if resource.type == _WORKSPACE:
            group = _managed_group(resource)
            self.known[group.id.lower()] = Stored(group)

    def delete(self, resource_id: str) -> None:
        """Delete it, what is below it, and groups that these manage. A vault can be had back, and keeps its name."""
        for stored in list(self.below(resource_id)):
            if stored.resource.type == _WORKSPACE:
                self.delete(_managed_group(stored.resource).id)
            if stored.resource.type == _VAULT:
                body = stored.resource.body
                kept = bool(body["properties"].get("enablePurgeProtection"))
                told = {"location": body["location"], "tags": stored.tags, "purgeProtectionEnabled": kept}
                self.deleted_vaults[stored.resource.name] = told
            del self.known[stored.resource.id.lower()]

    def below(self, resource_id: str) -> Iterator[Stored]:
        """The resource and its children."""
        start = resource_id.lower().rstrip("/")
        for key, stored in list(self.known.items()):
            if key == start or key.startswith(f"{start}/"):
                yield stored

    def groups(self) -> list[Stored]:
        """Resource groups."""
        return [stored for stored in self.known.values() if stored.resource.type == GROUP]

    def others(self) -> list[Stored]:
        """What the list of resources has: all but groups and children."""
        every = (stored for stored in self.known.values() if stored.resource.type != GROUP)
        return [stored for stored in every if stored.resource.type.count("/") == 1]

    def described(self, stored: Stored) -> dict[str, Any]:
        """As a GET answers."""
        resource = stored.resource
        body = {key: value for key, value in resource.body.items() if key != "properties"}
        name = resource.name.rpartition("/")[2]
        properties = {**resource.body.get("properties", {}), "provisioningState": stored.state}
        if resource.type == _CLUSTER:
            properties = _cluster(resource, properties)
            if stored.error:
                properties["errors"] = [{"code": stored.error["code"], "message": stored.error["message"]}]
        if resource.type == _EVENT_HUB:
            properties = {**resource.body["properties"], "status": "Active"}
        if resource.type == _PEERING:
            properties["peeringState"] = self._peering_state(stored)
        return {"id": resource.id, "name": name, "type": resource.type, **body, "properties": properties}

    def _peering_state(self, stored: Stored) -> str:
        """Initiated until the other side is there too; even then it takes its time."""
        if self.is_cut_off:
            return "Disconnected"
        network = stored.resource.id.rpartition("/virtualNetworkPeerings/")[0].lower()
        other = stored.resource.body["properties"]["remoteVirtualNetwork"]["id"]
        back = [one for one in self.below(other) if one.resource.type == _PEERING]
        targets = [one.resource.body["properties"]["remoteVirtualNetwork"]["id"].lower() for one in back]
        return "Connected" if network in targets and stored.looks > 2 else "Initiated"


def _managed_group(workspace: Resource) -> Resource:
    """Databricks' own, with the tags of its workspace."""
    group = str(workspace.body["properties"]["managedResourceGroupId"])
    told = {key: workspace.body[key] for key in ("location", "tags")}
    body = {**told, "managedBy": workspace.id, "properties": {}}
    return Resource(group, GROUP, group.rpartition("/")[2], "2024-03-01", body, ())


def settled(value: Any) -> Any:
    """`value` with what the evaluator leaves to Azure (`<principalId of …>`) told: the same each time."""
    if isinstance(value, Mapping):
        return {key: settled(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [settled(item) for item in value]
    if isinstance(value, str | int | float | bool) or value is None:
        return _PENDING.sub(_told, value) if isinstance(value, str) else value
    return _PENDING.sub(_told, str(value))


def _told(found: re.Match[str]) -> str:
    path, resource = found.groups()
    name, last = resource.rpartition("/")[2], path.rpartition(".")[2]
    known = {
        "blob": f"https://{name}.blob.core.windows.net/",
        "ipAddress": "203.0.113.20",
        "vaultUri": f"https://{name}.vault.azure.net/",
        "workspaceUrl": "adb-1234567890123456.7.azuredatabricks.net",
        "sqlOnDemand": f"{name}-ondemand.sql.azuresynapse.net",
    }
    return known.get(last) or str(uuid.uuid5(uuid.NAMESPACE_URL, f"{path} of {resource}"))


def _cluster(resource: Resource, asked: Mapping[str, Any]) -> dict[str, Any]:
    """What HDInsight tells of a cluster: no passwords, and nothing that its definition calls secret."""
    definition = {key: value for key, value in asked["clusterDefinition"].items() if key != "configurations"}
    told = {key: value for key, value in asked.items() if key != "storageProfile"}
    hidden = {"scriptActions"}
    roles = [{k: v for k, v in role.items() if k not in hidden} for role in asked["computeProfile"]["roles"]]
    gateway = {"name": "HTTPS", "protocol": "TCP", "location": f"{resource.name}.azurehdinsight.net", "port": 443}
    state = "Running" if asked["provisioningState"] == "Succeeded" else "Error"
    profile = {"roles": roles}
    return {
        **told,
        "computeProfile": profile,
        "clusterDefinition": definition,
        "clusterState": state,
        "connectivityEndpoints": [gateway],
    }

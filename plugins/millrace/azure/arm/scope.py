"""Where a deployment goes: a subscription, or a resource group in it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

__all__ = ["Scope"]

# The public cloud: https://learn.microsoft.com/azure/azure-resource-manager/templates/template-functions-deployment#environment
_PUBLIC_CLOUD = {
    "name": "AzureCloud",
    "resourceManager": "https://management.azure.com/",
    "authentication": {"loginEndpoint": "https://login.microsoftonline.com/", "tenant": "common"},
    "suffixes": {
        "keyvaultDns": ".vault.azure.net",
        "sqlServerHostname": ".database.windows.net",
        "storage": "core.windows.net",
    },
}


@dataclass(frozen=True)
class Scope:
    """A deployment's place and name; `resource_group` is None for a deployment to the subscription itself.

    `location` is the region that keeps the deployment's record, and the group's region where there is a group.
    """

    subscription_id: str
    tenant_id: str
    deployment_name: str
    location: str
    resource_group: str | None = None

    @property
    def subscription(self) -> str:
        """The subscription's resource id."""
        return f"/subscriptions/{self.subscription_id}"

    @property
    def id(self) -> str:
        """The resource id of what is deployed to."""
        group = f"/resourceGroups/{self.resource_group}" if self.resource_group else ""
        return self.subscription + group

    def nested(self, deployment_name: str, resource_group: str | None, subscription_id: str | None) -> Scope:
        """The scope of a nested deployment; what is None stays as it is here."""
        return replace(
            self,
            deployment_name=deployment_name,
            resource_group=resource_group or self.resource_group,
            subscription_id=subscription_id or self.subscription_id,
        )

    def described(self) -> dict[str, Any]:
        """What the functions subscription(), resourceGroup(), tenant(), deployment() and environment() return."""
        values: dict[str, Any] = {
            "subscription": {
                "id": self.subscription,
                "subscriptionId": self.subscription_id,
                "tenantId": self.tenant_id,
            },
            "tenant": {"tenantId": self.tenant_id},
            "deployment": {"name": self.deployment_name, "location": self.location},
            "environment": _PUBLIC_CLOUD,
        }
        if self.resource_group:
            values["resourcegroup"] = {"id": self.id, "name": self.resource_group, "location": self.location}
        return values

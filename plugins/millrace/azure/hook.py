"""Clients of Azure Resource Manager from an Airflow connection of type `azure`."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

from airflow.providers.microsoft.azure.hooks.base_azure import _AZURE_CLOUD_ENVIRONMENTS, AzureBaseHook

from jobs.errors import UsageError
from millrace.azure.identity import with_identity

if TYPE_CHECKING:
    from airflow.sdk import Connection
    from azure.mgmt.hdinsight import HDInsightManagementClient
    from azure.mgmt.resource.deployments import DeploymentsMgmtClient
    from azure.mgmt.resource.resources import ResourceManagementClient

__all__ = ["API_VERSION", "ResourceManagerHook"]

# The SDK tells of each request in ten lines, and a deployment is asked for hundreds of times.
_REQUESTS = logging.getLogger("millrace.azure.requests")
_REQUESTS.setLevel(logging.WARNING)

# Those whose OpenAPI definitions the requests are validated against.
API_VERSION = "2024-03-01"
CLUSTERS_API_VERSION = "2021-06-01"


class ResourceManagerHook(AzureBaseHook):
    """The provider's connection: a service principal (login, password, tenantId), a managed identity, or a workload
    identity; `subscriptionId` says which subscription. The credential is one of azure-identity in every case."""

    def __init__(self, conn_id: str = "azure_default") -> None:
        super().__init__(conn_id=conn_id)
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The connection, with what it says checked. Raises UsageError where a part is missing."""
        if self._connection is None:
            self._connection = _checked(self.get_connection(self.conn_id))
        return self._connection

    @property
    def subscription_id(self) -> str:
        """The subscription that is deployed to."""
        return str(self.connection.extra_dejson["subscriptionId"])

    @property
    def tenant_id(self) -> str:
        """The tenant as far as the connection says it: templates here use it for nothing but a dry run's outputs."""
        extra = self.connection.extra_dejson
        return str(extra.get("tenantId") or extra.get("workload_identity_tenant_id") or "")

    def deployments(self) -> DeploymentsMgmtClient:
        """A new client, with a new credential: it has no token from before."""
        from azure.mgmt.resource.deployments import DeploymentsMgmtClient

        return DeploymentsMgmtClient(**self._arguments())

    def resources(self) -> ResourceManagementClient:
        """The same for resource groups and what is in them."""
        from azure.mgmt.resource.resources import ResourceManagementClient

        return ResourceManagementClient(**self._arguments())

    def clusters(self) -> HDInsightManagementClient:
        """The same for HDInsight's clusters."""
        from azure.mgmt.hdinsight import HDInsightManagementClient

        return HDInsightManagementClient(**self._arguments() | {"api_version": CLUSTERS_API_VERSION})

    def _arguments(self) -> dict[str, Any]:
        from azure.mgmt.core.policies import ARMHttpLoggingPolicy

        cloud = self.connection.extra_dejson.get("cloud_environment") or "AzurePublicCloud"
        known = _AZURE_CLOUD_ENVIRONMENTS[cloud]
        return {
            "credential": self.get_credential(conn=self.connection),
            "subscription_id": self.subscription_id,
            "base_url": known["base_url"],
            "credential_scopes": known["credential_scopes"],
            "api_version": API_VERSION,
            "http_logging_policy": ARMHttpLoggingPolicy(logger=_REQUESTS),
        }


def _checked(connection: Connection) -> Connection:
    """A copy that asks for azure-identity's credentials: those that the SDK takes."""
    extra, name = connection.extra_dejson, connection.conn_id
    if not extra.get("subscriptionId"):
        raise UsageError(f"connection {name!r} names no subscription; set its field `Azure Subscription ID`")
    cloud = extra.get("cloud_environment") or "AzurePublicCloud"
    if cloud not in _AZURE_CLOUD_ENVIRONMENTS:
        raise UsageError(f"connection {name!r}: cloud {cloud!r} is unknown; use {', '.join(_AZURE_CLOUD_ENVIRONMENTS)}")
    return with_identity(connection)

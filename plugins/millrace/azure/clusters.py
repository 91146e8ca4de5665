"""HDInsight clusters, through Microsoft's client of HDInsight. https://learn.microsoft.com/rest/api/hdinsight/clusters"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from millrace.azure.asking import Asking
from millrace.azure.environments import TAG

if TYPE_CHECKING:
    from azure.mgmt.hdinsight import HDInsightManagementClient
    from azure.mgmt.hdinsight import models as hdinsight

    from millrace.azure.arm import Resource
    from millrace.azure.hook import ResourceManagerHook

__all__ = ["Cluster", "Clusters"]


@dataclass(frozen=True)
class Cluster:
    """`state` is Succeeded when nothing is under way, Failed when something went wrong: `errors` say what. `endpoints`
    are URLs by name, such as HTTPS for the gateway of Ambari and Livy. `has_schedule`: Azure itself sets the number of
    workers. `region` is a name without spaces."""

    id: str
    name: str
    state: str
    workers: int
    endpoints: dict[str, str]
    tags: Mapping[str, str] = field(default_factory=dict)
    errors: tuple[str, ...] = ()
    worker_size: str = ""
    has_schedule: bool = False
    region: str = ""


class Clusters:
    """What one connection may see. Every method blocks, and raises RefusedError or PassingError."""

    def __init__(self, hook: ResourceManagerHook) -> None:
        self._azure: Asking[HDInsightManagementClient] = Asking(hook.clusters)

    def find(self, cluster_id: str) -> Cluster | None:
        """The cluster of that resource id; None where there is none."""
        group, name = _place(cluster_id)
        found = self._azure.find(f"cluster {name}", lambda client: client.clusters.get(group, name))
        return None if found is None else _cluster(found)

    def of(self, environment: str) -> list[Cluster]:
        """Those whose tag reads `environment`, by name."""
        every = self._azure.ask("clusters", lambda client: [_cluster(one) for one in client.clusters.list()])
        return sorted((one for one in every if one.tags.get(TAG) == environment), key=lambda one: one.name)

    def create(self, cluster: Resource) -> None:
        """Begin to create a cluster as a template has it. HDInsight refuses one of a name that exists."""
        group, name = _place(cluster.id)
        body = json.dumps(cluster.body, default=str).encode()
        self._azure.ask(
            f"creating cluster {name}",
            lambda client: client.clusters.begin_create(group, name, io.BytesIO(body), polling=False) and None,
        )

    def delete(self, cluster_id: str) -> None:
        """Begin to delete a cluster. Nothing happens where it is gone already."""
        group, name = _place(cluster_id)
        self._azure.find(
            f"deleting cluster {name}",
            lambda client: client.clusters.begin_delete(group, name, polling=False) and None,
        )

    def resize(self, cluster_id: str, workers: int) -> None:
        """Begin to give the cluster so many workers. Azure refuses it for a cluster that is scaled by a schedule."""
        from azure.mgmt.hdinsight.models import ClusterResizeParameters

        group, name = _place(cluster_id)
        size = ClusterResizeParameters(target_instance_count=workers)
        self._azure.ask(
            f"resizing cluster {name}",
            lambda client: client.clusters.begin_resize(group, name, "workernode", size, polling=False) and None,
        )


def _place(cluster_id: str) -> tuple[str, str]:
    """Resource group and name."""
    parts = cluster_id.strip("/").split("/")
    return parts[3], parts[-1]


def _cluster(found: hdinsight.Cluster) -> Cluster:
    properties = found.properties
    if properties is None:  # one that has only just been asked for
        return Cluster(str(found.id), str(found.name), "InProgress", 0, {}, dict(found.tags or {}))
    roles = (properties.compute_profile and properties.compute_profile.roles) or []
    workers = next((role for role in roles if role.name == "workernode"), None)
    endpoints = {
        str(one.name): f"https://{one.location}:{one.port}" if one.protocol == "TCP" else str(one.location)
        for one in properties.connectivity_endpoints or []
        if one.name != "SSH"
    }
    return Cluster(
        id=str(found.id),
        name=str(found.name),
        state=str(getattr(properties.provisioning_state, "value", properties.provisioning_state)),
        workers=int((workers and workers.target_instance_count) or 0),
        endpoints=endpoints,
        tags=dict(found.tags or {}),
        errors=tuple(f"{error.code}: {error.message}" for error in properties.errors or []),
        worker_size=str((workers and workers.hardware_profile and workers.hardware_profile.vm_size) or ""),
        has_schedule=bool(workers and workers.autoscale_configuration),
        region=str(found.location or "").lower().replace(" ", ""),
    )

"""HDInsight clusters as Azure describes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millrace.azure.environments import Environments

__all__ = ["API_VERSION", "Cluster", "cluster", "resize"]

API_VERSION = "2021-06-01"


@dataclass(frozen=True)
class Cluster:
    """`state` is Succeeded when nothing is under way, Failed when something went wrong; `endpoints` are URLs by name,
    such as HTTPS for the gateway of Ambari and Livy."""

    name: str
    state: str
    workers: int
    endpoints: dict[str, str]


def cluster(cluster_id: str, environments: Environments) -> Cluster | None:
    """The cluster of that resource id; None where there is none. Raises RefusedError or PassingError."""
    found = environments.find(cluster_id, API_VERSION)
    if found is None:
        return None
    properties = found["properties"]
    workers = next(role for role in properties["computeProfile"]["roles"] if role["name"] == "workernode")
    endpoints = {
        one["name"]: f"https://{one['location']}:{one['port']}" if one["protocol"] == "TCP" else str(one["location"])
        for one in properties.get("connectivityEndpoints", ())
        if one["name"] != "SSH"
    }
    return Cluster(found["name"], properties["provisioningState"], int(workers["targetInstanceCount"]), endpoints)


def resize(cluster_id: str, workers: int, environments: Environments) -> None:
    """Begin to give the cluster so many workers. Azure refuses it for a cluster that is scaled by a schedule.

    https://learn.microsoft.com/rest/api/hdinsight/clusters/resize
    """
    environments.post(f"{cluster_id}/roles/workernode/resize", API_VERSION, {"targetInstanceCount": workers})

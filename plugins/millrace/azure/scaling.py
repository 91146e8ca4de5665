"""Another number of workers for an HDInsight cluster: whether it can be, and what it costs."""

from __future__ import annotations

from typing import TYPE_CHECKING

from jobs.errors import UsageError

if TYPE_CHECKING:
    from millrace.azure.clusters import Cluster, Clusters

__all__ = ["KINDS", "check_scaling", "cluster_of"]

KINDS = ("spark", "kafka", "query")
"""The clusters that a person scales, as main.json's names begin. That for batch runs has its size from a file."""


def cluster_of(clusters: Clusters, environment: str, kind: str) -> Cluster:
    """The cluster of this kind that bears the environment's tag. Raises UsageError where there is none."""
    every = clusters.of(environment)
    found = next((one for one in every if one.name.startswith(f"{kind}-")), None)
    if found is None:
        there = ", ".join(one.name for one in every) or "none"
        raise UsageError(
            f"cluster {kind!r}: environment {environment} has the clusters: {there}; choose one of them, or make"
            " it with the DAG `provision`"
        )
    return found


def check_scaling(cluster: Cluster, workers: int) -> None:
    """Raises UsageError for what HDInsight refuses: to take brokers away, and to overrule a schedule.

    https://learn.microsoft.com/azure/hdinsight/kafka/apache-kafka-introduction
    https://learn.microsoft.com/azure/hdinsight/hdinsight-scaling-best-practices
    """
    if cluster.name.startswith("kafka-") and workers < cluster.workers:
        raise UsageError(
            f"cluster {cluster.name}: workers is {workers}, and it has {cluster.workers}; HDInsight takes no broker"
            f" away, with the records on its disks: ask for {cluster.workers} or more"
        )
    if cluster.has_schedule:
        group = cluster.id.split("/")[4]
        raise UsageError(
            f"cluster {cluster.name}: workers is {workers}, and its workers follow a schedule, which HDInsight does not"
            " let anybody overrule; change the schedule (Azure portal, *Cluster size*), or end it: az hdinsight"
            f" autoscale delete --resource-group {group} --cluster-name {cluster.name}"
        )

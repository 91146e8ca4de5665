"""Clusters that are there already. HDInsight refuses most changes to a cluster, so a deployment leaves them alone."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING

from millrace.azure.arm import Deployment, Resource
from millrace.azure.asking import PassingError, RefusedError
from millrace.waiting import until

if TYPE_CHECKING:
    from millrace.azure.environments import Environments
    from millrace.azure.progress import Step

__all__ = ["CLUSTERS", "MODULES", "await_deleted", "delete_unborn", "standing", "unsettled"]

_LEAVING = "Deleting"
_UNDER_WAY = "InProgress"
_BROKEN = ("Failed", "Canceled")
_DELETED_WITHIN = timedelta(hours=1)

CLUSTERS = "Microsoft.HDInsight/clusters"
MODULES = {"kafka": "deployKafka", "spark": "deploySpark", "batch": "deployBatch", "query": "deployQuery"}
"""Modules of main.json, each with one cluster, and the parameter that leaves it alone when it is false."""


def standing(wanted: Deployment, environments: Environments, *, is_broken_refused: bool = True) -> dict[str, bool]:
    """The parameters that leave alone the clusters of `wanted` that exist. Raises RefusedError for one that is broken,
    unless that does not matter: whether it holds data that is nowhere else, a person must say.

    One that is being deleted does not stand: see `await_deleted`. Of one that is being created nobody knows yet whether
    it will: see `unsettled`."""
    found: dict[str, bool] = {}
    for parameter, cluster in _clusters(wanted):
        state = _state(cluster, environments)
        if state in _BROKEN and is_broken_refused:
            raise RefusedError(
                f"cluster {cluster.name} reads {state}, and HDInsight repairs none; delete it if it holds nothing that"
                " you need (Azure portal, or `az hdinsight delete`), then clear this task"
            )
        if state not in (None, _LEAVING):
            found[parameter] = False
    return found


def unsettled(wanted: Deployment, environments: Environments) -> list[str]:
    """The ids of the clusters of `wanted` that HDInsight creates or changes, as another deployment asked, or a resize:
    until that ends, nobody knows whether they will be there."""
    return [cluster.id for _, cluster in _clusters(wanted) if _state(cluster, environments) == _UNDER_WAY]


def await_deleted(wanted: Deployment, environments: Environments, poll: timedelta) -> list[str]:
    """Waits for the clusters of `wanted` that are being deleted, as by a try before that was killed, or by `teardown`;
    their names. Until then their names are taken. Raises PassingError where that takes longer than HDInsight does."""
    leaving = [cluster for _, cluster in _clusters(wanted) if _state(cluster, environments) == _LEAVING]
    for cluster in leaving:
        if not until(partial(_is_gone, cluster, environments), _DELETED_WITHIN, poll):
            raise PassingError(f"cluster {cluster.name} is still being deleted after {_DELETED_WITHIN}")
    return [cluster.name for cluster in leaving]


def delete_unborn(failed: Iterable[Step], wanted: Deployment, environments: Environments) -> list[str]:
    """Deletes the clusters whose creation failed, and waits until they are gone; their names.

    `failed` are the failed steps of a deployment that would do it again: a cluster among them that still is broken was
    never there for anybody, and stands in the way of its own creation.
    """
    never_born = {step.id.lower() for step in failed if step.type == CLUSTERS}
    gone = []
    for _, cluster in _clusters(wanted):
        if cluster.id.lower() in never_born and _state(cluster, environments) in _BROKEN:
            environments.delete(cluster.id, cluster.api_version)
            gone.append(cluster.name)
    return gone


def _clusters(wanted: Deployment) -> Iterator[tuple[str, Resource]]:
    for nested in wanted.nested.values():
        parameter = MODULES.get(nested.scope.deployment_name)
        for resource in nested.resources:
            if parameter and resource.type == CLUSTERS:
                yield parameter, resource


def _is_gone(cluster: Resource, environments: Environments) -> bool:
    return _state(cluster, environments) != _LEAVING


def _state(cluster: Resource, environments: Environments) -> str | None:
    found = environments.find(cluster.id, cluster.api_version)
    properties: Mapping[str, str] = (found or {}).get("properties", {})
    return str(properties.get("provisioningState")) if found else None

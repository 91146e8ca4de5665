"""Waiting until an HDInsight cluster has done what it was asked."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from millrace.triggers.azure_watch import AzureTrigger

if TYPE_CHECKING:
    from millrace.azure.clusters import Clusters

__all__ = ["AzureClusterTrigger"]

_SETTLED = ("Succeeded", "Failed", "Canceled")


class AzureClusterTrigger(AzureTrigger):
    """Fires `{"cluster_id", "state"}`, Succeeded, Failed or Canceled, when nothing is under way; `Lost`, with
    `reason`, where it is gone."""

    subject = ("cluster_id",)

    def __init__(self, cluster_id: str, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__(conn_id, settle_s, poll_s)
        self.cluster_id = cluster_id
        self._told: str | None = None

    def look(self) -> dict[str, Any] | None:
        found = self._clusters.find(self.cluster_id)
        if found is None:
            return {"state": "Lost", "reason": f"there is no cluster {self.cluster_id}"}
        if found.state != self._told:
            self.log.info("cluster %s: %s", found.name, found.state)
        self._told = found.state
        reason = {"reason": "; ".join(found.errors)} if found.errors else {}
        return {"state": found.state, **reason} if found.state in _SETTLED else None

    @cached_property
    def _clusters(self) -> Clusters:
        from millrace.azure.clusters import Clusters

        return Clusters(self.hook())

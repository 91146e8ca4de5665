"""Waiting until HDInsight clusters are gone."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from millrace.triggers.azure_watch import AzureTrigger

if TYPE_CHECKING:
    from millrace.azure.clusters import Clusters

__all__ = ["AzureClustersGoneTrigger"]


class AzureClustersGoneTrigger(AzureTrigger):
    """Fires `{"cluster_ids", "state", "clusters": names}`: `Gone` with all; `Left` with those that Azure is not
    deleting (any more); `Lost`, with `reason`, where we may no longer look."""

    subject = ("cluster_ids",)

    def __init__(self, cluster_ids: list[str], conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__(conn_id, settle_s, poll_s)
        self.cluster_ids = cluster_ids

    def look(self) -> dict[str, Any] | None:
        found = [one for one in (self._clusters.find(each) for each in self.cluster_ids) if one is not None]
        left = [one.name for one in found if one.state != "Deleting"]
        if left:
            return {"state": "Left", "clusters": left}
        names = [each.rpartition("/")[2] for each in self.cluster_ids]
        return None if found else {"state": "Gone", "clusters": names}

    @cached_property
    def _clusters(self) -> Clusters:
        from millrace.azure.clusters import Clusters

        return Clusters(self.hook())

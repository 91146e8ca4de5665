"""Waiting until HDInsight clusters are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from millrace.triggers.azure_watch import outcome

if TYPE_CHECKING:
    from millrace.azure.clusters import Clusters

__all__ = ["AzureClustersGoneTrigger"]


class AzureClustersGoneTrigger(BaseTrigger):
    """Fires `{"state", "clusters": names}`: `Gone` with all; `Left` with those that Azure is not deleting (any more);
    `Lost`, with `reason`, where we may no longer look."""

    def __init__(self, cluster_ids: list[str], conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cluster_ids = cluster_ids
        self.conn_id = conn_id
        self.settle_s = settle_s
        self.poll_s = poll_s
        self._azure: Clusters | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("cluster_ids", "conn_id", "settle_s", "poll_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        settle, poll = timedelta(seconds=self.settle_s), timedelta(seconds=self.poll_s)
        yield TriggerEvent(await outcome(self._look, self.log, settle=settle, poll=poll))  # type: ignore[no-untyped-call]

    def _look(self) -> dict[str, Any] | None:
        clusters = self._clusters()
        found = [one for one in (clusters.find(each) for each in self.cluster_ids) if one is not None]
        left = [one.name for one in found if one.state != "Deleting"]
        if left:
            return {"state": "Left", "clusters": left}
        names = [each.rpartition("/")[2] for each in self.cluster_ids]
        return None if found else {"state": "Gone", "clusters": names}

    def _clusters(self) -> Clusters:
        from millrace.azure.clusters import Clusters
        from millrace.azure.hook import ResourceManagerHook

        if self._azure is None:
            self._azure = Clusters(ResourceManagerHook(self.conn_id))
        return self._azure

"""Waiting until an HDInsight cluster has done what it was asked."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from millrace.triggers.azure_watch import outcome

if TYPE_CHECKING:
    from millrace.azure.clusters import Clusters

__all__ = ["AzureClusterTrigger"]

_SETTLED = ("Succeeded", "Failed", "Canceled")


class AzureClusterTrigger(BaseTrigger):
    """Fires `{"state"}`, Succeeded, Failed or Canceled, when nothing is under way; `Lost`, with `reason`, where it is
    gone."""

    def __init__(self, cluster_id: str, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.cluster_id = cluster_id
        self.conn_id = conn_id
        self.settle_s = settle_s
        self.poll_s = poll_s
        self._azure: Clusters | None = None
        self._told: str | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("cluster_id", "conn_id", "settle_s", "poll_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        settle, poll = timedelta(seconds=self.settle_s), timedelta(seconds=self.poll_s)
        yield TriggerEvent(await outcome(self._look, self.log, settle=settle, poll=poll))  # type: ignore[no-untyped-call]

    def _look(self) -> dict[str, Any] | None:
        found = self._clusters().find(self.cluster_id)
        if found is None:
            return {"state": "Lost", "reason": f"there is no cluster {self.cluster_id}"}
        if found.state != self._told:
            self.log.info("cluster %s: %s", found.name, found.state)
        self._told = found.state
        reason = {"reason": "; ".join(found.errors)} if found.errors else {}
        return {"state": found.state, **reason} if found.state in _SETTLED else None

    def _clusters(self) -> Clusters:
        from millrace.azure.clusters import Clusters
        from millrace.azure.hook import ResourceManagerHook

        if self._azure is None:
            self._azure = Clusters(ResourceManagerHook(self.conn_id))
        return self._azure

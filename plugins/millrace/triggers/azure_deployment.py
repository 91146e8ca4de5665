"""Waiting for a deployment to Azure to end."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from millrace.azure.progress import ENDED, changes, steps
from millrace.triggers.azure_watch import outcome

if TYPE_CHECKING:
    from millrace.azure.deployments import Deployments

__all__ = ["AzureDeploymentTrigger"]


class AzureDeploymentTrigger(BaseTrigger):
    """Fires `{"name", "state"}` when the deployment has ended; `state` is `Lost`, with `reason`, where Azure no longer
    knows it or no longer lets us see it.

    Its log has a line for each resource whose state changed. It never cancels a deployment: a task that is cleared
    finds it running and goes on with it, and Azure undoes nothing of a deployment that is cancelled.
    """

    def __init__(self, name: str, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name
        self.conn_id = conn_id
        self.settle_s = settle_s
        self.poll_s = poll_s
        self._seen: dict[str, str] = {}
        self._azure: Deployments | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("name", "conn_id", "settle_s", "poll_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        settle, poll = timedelta(seconds=self.settle_s), timedelta(seconds=self.poll_s)
        found = await outcome(self._look, self.log, settle=settle, poll=poll)
        yield TriggerEvent({"name": self.name, **found})  # type: ignore[no-untyped-call]

    def _look(self) -> dict[str, Any] | None:
        """How it ended; None while it runs. What has changed since the last look is logged."""
        deployments = self._deployments()
        found = deployments.find(self.name)
        if found is None:
            return {"state": "Lost", "reason": f"Azure has no deployment {self.name}"}
        now = steps(deployments.id_of(self.name), deployments.operations)
        for step in changes(self._seen, now):
            self.log.info("%s", step)
        self._seen.update({step.id: step.state for step in now})
        state = found["properties"]["provisioningState"]
        return {"state": state} if state in ENDED else None

    def _deployments(self) -> Deployments:
        from millrace.azure.deployments import Deployments
        from millrace.azure.hook import ResourceManagerHook

        if self._azure is None:
            self._azure = Deployments(ResourceManagerHook(self.conn_id))
        return self._azure

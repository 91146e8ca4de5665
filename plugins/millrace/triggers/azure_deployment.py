"""Waiting for a deployment to Azure to end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from millrace.azure.progress import changes, steps

if TYPE_CHECKING:
    from millrace.azure.deployments import Deployments

__all__ = ["ENDED", "AzureDeploymentTrigger"]

ENDED = frozenset({"Succeeded", "Failed", "Canceled"})
_REFUSALS = 3


class AzureDeploymentTrigger(BaseTrigger):
    """Fires `{"name", "state"}` when the deployment has ended; `state` is `Lost` where Azure no longer knows it or no
    longer lets us see it, with `reason`.

    Its log has a line for each resource whose state changed. It never cancels a deployment: a task that is cleared
    finds it running and goes on with it, and Azure undoes nothing of a deployment that is cancelled.
    """

    def __init__(self, name: str, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.name = name
        self.conn_id = conn_id
        self.settle_s = settle_s
        self.poll_s = poll_s

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("name", "conn_id", "settle_s", "poll_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        event = await self._ended()
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _ended(self) -> dict[str, Any]:
        from millrace.azure.deployments import PassingError, RefusedError

        deployments, seen, refusals, wait = await asyncio.to_thread(self._connect), {}, 0, self.settle_s
        while True:
            await asyncio.sleep(wait)  # at first too: see millrace.triggers.watch.job_end
            wait = self.poll_s
            try:
                state = await asyncio.to_thread(self._look, deployments, seen)
            except PassingError as error:
                self.log.warning("%s; asking again", error)
                continue
            except RefusedError as error:
                refusals += 1
                self.log.warning("%s", error)
                if refusals >= _REFUSALS:
                    return {"name": self.name, "state": "Lost", "reason": str(error)}
                continue
            refusals = 0
            if state is None:
                return {"name": self.name, "state": "Lost", "reason": f"Azure has no deployment {self.name}"}
            if state in ENDED:
                return {"name": self.name, "state": state}

    def _connect(self) -> Deployments:
        from millrace.azure.deployments import Deployments
        from millrace.azure.hook import ResourceManagerHook

        return Deployments(ResourceManagerHook(self.conn_id))

    def _look(self, deployments: Deployments, seen: dict[str, str]) -> str | None:
        """The deployment's state, with what has changed in it since `seen` logged, and `seen` brought up to date."""
        found: Mapping[str, Any] | None = deployments.find(self.name)
        if found is None:
            return None
        now = steps(deployments.id_of(self.name), deployments.operations)
        for step in changes(seen, now):
            self.log.info("%s", step)
        seen.update({step.id: step.state for step in now})
        return str(found["properties"]["provisioningState"])

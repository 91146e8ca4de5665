"""Waiting until resource groups on Azure are gone."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from millrace.triggers.azure_watch import outcome

if TYPE_CHECKING:
    from millrace.azure.environments import Environments

__all__ = ["AzureDeletionTrigger"]


class AzureDeletionTrigger(BaseTrigger):
    """Fires `{"state": "Gone"}` when no group bears the environment's tag any longer; `{"state": "Left", "groups"}`
    where one is there that Azure is not deleting (any more); `{"state": "Lost", "reason"}` where we may no longer look.
    """

    def __init__(self, environment: str, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.environment = environment
        self.conn_id = conn_id
        self.settle_s = settle_s
        self.poll_s = poll_s
        self._azure: Environments | None = None
        self._told: dict[str, int] = {}

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("environment", "conn_id", "settle_s", "poll_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    async def run(self) -> AsyncIterator[TriggerEvent]:
        settle, poll = timedelta(seconds=self.settle_s), timedelta(seconds=self.poll_s)
        yield TriggerEvent(await outcome(self._look, self.log, settle=settle, poll=poll))  # type: ignore[no-untyped-call]

    def _look(self) -> dict[str, Any] | None:
        environments = self._environments()
        groups = environments.groups(self.environment)
        if not groups:
            return {"state": "Gone"}
        left = sorted(name for name, state in groups.items() if state != "Deleting")
        if left:
            return {"state": "Left", "groups": left}
        for name in groups:
            count = len(environments.contents(name))
            if self._told.get(name) != count:
                self.log.info("resource group %s is being deleted; it has %d resources", name, count)
            self._told[name] = count
        return None

    def _environments(self) -> Environments:
        from millrace.azure.environments import Environments
        from millrace.azure.hook import ResourceManagerHook

        if self._azure is None:
            self._azure = Environments(ResourceManagerHook(self.conn_id))
        return self._azure

"""Waiting until resource groups on Azure are gone."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from millrace.triggers.azure_watch import AzureTrigger

if TYPE_CHECKING:
    from millrace.azure.environments import Environments

__all__ = ["AzureDeletionTrigger"]


class AzureDeletionTrigger(AzureTrigger):
    """Fires `{"environment", "state"}`: `Gone` when no group bears the environment's tag any longer; `Left`, with
    `groups`, where one is there that Azure is not deleting (any more); `Lost`, with `reason`, where we may no longer
    look."""

    subject = ("environment",)

    def __init__(self, environment: str, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__(conn_id, settle_s, poll_s)
        self.environment = environment
        self._told: dict[str, int] = {}

    def look(self) -> dict[str, Any] | None:
        groups = self._environments.groups(self.environment)
        if not groups:
            return {"state": "Gone"}
        left = sorted(name for name, state in groups.items() if state != "Deleting")
        if left:
            return {"state": "Left", "groups": left}
        for name in groups:
            count = len(self._environments.contents(name))
            if self._told.get(name) != count:
                self.log.info("resource group %s is being deleted; it has %d resources", name, count)
            self._told[name] = count
        return None

    @cached_property
    def _environments(self) -> Environments:
        from millrace.azure.environments import Environments

        return Environments(self.hook())

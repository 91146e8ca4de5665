"""Waiting for a deployment to Azure to end."""

from __future__ import annotations

from functools import cached_property
from typing import TYPE_CHECKING, Any

from millrace.azure.progress import ENDED, changes, steps
from millrace.triggers.azure_watch import AzureTrigger

if TYPE_CHECKING:
    from millrace.azure.deployments import Deployments

__all__ = ["AzureDeploymentTrigger"]


class AzureDeploymentTrigger(AzureTrigger):
    """Fires `{"name", "state"}` when the deployment has ended; `state` is `Lost`, with `reason`, where Azure no longer
    knows it or no longer lets us see it.

    Its log has a line for each resource whose state changed. It never cancels a deployment: a task that is cleared
    finds it running and goes on with it, and Azure undoes nothing of a deployment that is cancelled.
    """

    subject = ("name",)

    def __init__(self, name: str, conn_id: str, settle_s: float = 10.0, poll_s: float = 15.0) -> None:
        super().__init__(conn_id, settle_s, poll_s)
        self.name = name
        self._seen: dict[str, str] = {}

    def look(self) -> dict[str, Any] | None:
        """How it ended; None while it runs. What has changed since the last look is logged."""
        found = self._deployments.find(self.name)
        if found is None:
            return {"state": "Lost", "reason": f"Azure has no deployment {self.name}"}
        now = steps(self._deployments.id_of(self.name), self._deployments.operations)
        for step in changes(self._seen, now):
            self.log.info("%s", step)
        self._seen.update({step.id: step.state for step in now})
        state = found["properties"]["provisioningState"]
        return {"state": state} if state in ENDED else None

    @cached_property
    def _deployments(self) -> Deployments:
        from millrace.azure.deployments import Deployments

        return Deployments(self.hook())

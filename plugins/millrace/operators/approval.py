"""The task that asks a person before something is done that others will notice."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from airflow.providers.standard.operators.hitl import ApprovalOperator

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["Approval"]


class Approval(ApprovalOperator):
    """Waits, without a worker slot, until somebody approves or rejects; a rejection fails the task.

    Asks nobody where the run has the param `approve`.
    """

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(fail_on_reject=True, **kwargs)

    def execute(self, context: Context) -> Any:
        if (context.get("params") or {}).get("approve"):
            self.log.info("approved by the run's param `approve`")
            return None
        return super().execute(context)

"""The task that asks a person before something is done that others will notice."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.providers.standard.exceptions import HITLRejectException
from airflow.providers.standard.operators.hitl import ApprovalOperator
from airflow.sdk.exceptions import AirflowFailException

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["Approval"]


class Approval(ApprovalOperator):
    """Waits, without a worker slot, until somebody approves or rejects; a rejection fails the task, for good.

    Asks nobody where the run has the param `approve`. A task that fails otherwise asks again: Airflow may mark one as
    failed that is answered before the scheduler has seen the worker go that asked.
    """

    def __init__(self, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 3)
        kwargs.setdefault("retry_delay", timedelta(seconds=5))
        super().__init__(fail_on_reject=True, **kwargs)

    def execute(self, context: Context) -> Any:
        if (context.get("params") or {}).get("approve"):
            self.log.info("approved by the run's param `approve`")
            return None
        return super().execute(context)

    def execute_complete(self, context: Context, event: dict[str, Any]) -> Any:
        """Somebody has answered."""
        try:
            return super().execute_complete(context, event)
        except HITLRejectException as error:
            raise AirflowFailException("rejected") from error

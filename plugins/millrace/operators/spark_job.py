"""A task that runs one Spark job to its end, without a worker slot."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.platforms.protocol import JobState, RunningJob, SparkJob
from millrace.supervision.connection import Connection, connect
from millrace.supervision.driver_log import LOG_LINES, error_line, excerpt
from millrace.supervision.restart_policy import BAD_DECLARATION
from millrace.triggers.events import status_from_json
from millrace.triggers.spark_job import SparkJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["SparkJobOperator"]


class SparkJobOperator(BaseOperator):
    """Submits the job that `make_job` declares, and succeeds when its driver exits with 0.

    A retry adopts the job of the try before it where that still runs (jobs have names). The end of the driver's log
    is written to the task's log when it fails. Marking or clearing the task cancels the job.
    """

    ui_color = "#e6efdb"

    def __init__(self, *, environment: str | None = None, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 2)
        kwargs.setdefault("retry_delay", timedelta(seconds=10))
        super().__init__(**kwargs)
        self.environment = environment
        self._job: tuple[Connection, str] | None = None

    def make_job(self, context: Context, environment: Environment) -> SparkJob:
        """The job of this try; a subclass says. Raises MillraceError where a declaration or an argument is wrong."""
        raise NotImplementedError

    def result(self, context: Context, owner: str) -> Any:
        """What the task returns when the job that `owner` submitted has succeeded."""
        return owner

    def connect(self) -> Connection:
        """The environment, when the task runs."""
        return connect(self.environment)

    def trigger(self, running: RunningJob) -> SparkJobTrigger:
        """The trigger that watches the job."""
        return SparkJobTrigger(running.id, running.owner, environment=self.environment)

    def execute(self, context: Context) -> None:
        """Submit, or adopt, and defer."""
        connection = self.connect()
        try:
            running = connection.platform.submit(self.make_job(context, connection.environment))
        except MillraceError as error:  # a rule is broken: trying again would not help
            raise AirflowFailException(str(error)) from error
        self._job = (connection, running.id)
        self.log.info("job %s: submitted by %s", running.id, running.owner)
        self.defer(trigger=self.trigger(running), method_name="resume")

    def resume(self, context: Context, event: dict[str, Any]) -> Any:
        """The job has ended. Raises AirflowException where it did not succeed."""
        job_id, status = event["job_id"], status_from_json(event)
        seconds = status.uptime.total_seconds()
        if status.state is JobState.SUCCEEDED:
            self.log.info("job %s: succeeded after %.0f s", job_id, seconds)
            return self.result(context, event["owner"])
        log = self._log_of(job_id)
        message = _message(f"job {job_id}: {status.state} after {seconds:.0f} s", status.exit_code, log)
        raise (AirflowFailException if status.exit_code == BAD_DECLARATION else AirflowException)(message)

    def on_kill(self) -> None:
        """Killed in a worker, before the deferral."""
        if self._job is not None:
            connection, job_id = self._job
            connection.platform.cancel(job_id, timedelta(seconds=2))

    def _log_of(self, job_id: str) -> list[str]:
        try:
            return self.connect().platform.logs(job_id, LOG_LINES)
        except MillraceError as error:
            return [str(error)]


def _message(what: str, exit_code: int | None, log: Sequence[str]) -> str:
    remedy = "correct the declaration or the arguments" if exit_code == BAD_DECLARATION else "correct the cause"
    tail = "\n".join(excerpt(log))
    return (
        f"{what} with exit code {exit_code}; last error: {error_line(log)}; {remedy}, then clear this task. "
        f"The driver's log ends with:\n{tail}"
    )

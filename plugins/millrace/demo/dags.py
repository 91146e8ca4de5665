"""Running DAGs as a user would, and saying why one failed."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from jobs.errors import MillraceError
from millrace.stack.airflow_api import AirflowApiError
from millrace.stack.airflow_client import AirflowClient, TaskState
from millrace.waiting import until

__all__ = ["DagFailedError", "Dags"]

_ACTIVE = ("queued", "running")
_LOG_LINES = 30


class DagFailedError(MillraceError):
    """A DAG run failed, or did not get where it should in time."""


class Dags:
    """The DAGs of one Airflow. Every method may raise AirflowApiError."""

    def __init__(self, client: AirflowClient) -> None:
        self.client = client
        self.since = datetime.now(UTC)

    def active(self, dag_id: str) -> str | None:
        """The id of a run that is queued or running."""
        return next((run["dag_run_id"] for run in self.client.runs(dag_id) if run["state"] in _ACTIVE), None)

    def succeeded_before(self, dag_id: str) -> bool:
        """Whether a run of the DAG ever succeeded."""
        return any(run["state"] == "success" for run in self.client.runs(dag_id))

    def start(self, dag_id: str, params: Mapping[str, Any] | None = None) -> str:
        """Unpause the DAG and trigger a run, or take the one that is under way already."""
        self.client.await_dag(dag_id)
        self.client.unpause(dag_id)
        return self.active(dag_id) or self.client.trigger(dag_id, params)

    def keep_running(self, dag_id: str) -> None:
        """Unpause a DAG that runs `@once`, and trigger it where all its runs have ended."""
        self.client.await_dag(dag_id)
        self.client.unpause(dag_id)
        if self.client.runs(dag_id) and not self.active(dag_id):
            self.client.trigger(dag_id)

    def end(self, dag_id: str) -> bool:
        """Mark active runs as succeeded, which ends their tasks within seconds; whether there were any."""
        runs = [run["dag_run_id"] for run in self.client.runs(dag_id) if run["state"] in _ACTIVE]
        for run in runs:
            self.client.api.patch(f"/dags/{quote(dag_id)}/dagRuns/{quote(run, safe='')}", {"state": "success"})
        return bool(runs)

    def await_success(self, dag_id: str, run_id: str, timeout: timedelta) -> None:
        """Raises DagFailedError, with the end of the failing task's log, where the run does not succeed in time."""
        self.await_all(dag_id, lambda: self.client.run_state(dag_id, run_id) == "success", timeout, run_id)

    def await_all(
        self, dag_id: str, condition: Callable[[], bool], timeout: timedelta, run_id: str | None = None
    ) -> None:
        """Return as soon as `condition()`; raises DagFailedError when `run_id`, or any run since the start, fails."""

        def is_so() -> bool:
            if condition():
                return True
            self.raise_if_failed(dag_id, run_id)
            return False

        if not until(is_so, timeout):
            raise DagFailedError(
                f"DAG {dag_id!r}: not done within {timeout.total_seconds():.0f} s; see {self.client.url}/dags/{dag_id}"
            )

    def raise_if_failed(self, dag_id: str, run_id: str | None = None) -> None:
        """Raises DagFailedError, with the end of the failing task's log, where a run has failed."""
        for run in self.failed(dag_id):
            if run_id in (None, run):
                raise DagFailedError(self._why(dag_id, run))

    def failed(self, dag_id: str) -> list[str]:
        """Ids of the runs that failed since this demonstration began."""
        return [
            run["dag_run_id"]
            for run in self.client.runs(dag_id)
            if run["state"] == "failed" and _moment(run.get("end_date")) >= self.since
        ]

    def _why(self, dag_id: str, run_id: str) -> str:
        url = f"{self.client.url}/dags/{dag_id}/runs/{quote(run_id, safe='')}"
        tasks = [task for task in self.client.tasks(dag_id, run_id) if task.state == "failed"]
        log = "\n".join(self._log(dag_id, run_id, tasks[0])) if tasks else "no task of it failed"
        name = f" in task {tasks[0].task_id!r}" if tasks else ""
        return f"DAG {dag_id!r}: run {run_id!r} failed{name}; see {url}. The task's log ends with:\n{log}"

    def _log(self, dag_id: str, run_id: str, task: TaskState) -> list[str]:
        try:
            lines = self.client.task_log(dag_id, run_id, task.task_id, task.try_number, task.map_index)
        except AirflowApiError as error:
            return [str(error)]
        return lines[-_LOG_LINES:]


def _moment(text: str | None) -> datetime:
    return datetime.fromisoformat(text) if text else datetime.now(UTC)

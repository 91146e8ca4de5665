"""What the demo and the tests do with Airflow: start runs and backfills, and see what became of them."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any, Literal
from urllib.parse import quote

from jobs.errors import MillraceError
from millrace.home import Home
from millrace.stack.airflow import airflow_url
from millrace.stack.airflow_api import AirflowApi, AirflowApiError
from millrace.stack.airflow_settings import ADMIN, admin_password

__all__ = ["AirflowClient", "Backfill", "TaskState"]

_ENDED = ("success", "failed")
_POLL_S = 0.5
_LOCKED = timedelta(minutes=2)  # one answer may take 30 s, for which Airflow itself waits
_PAGE = 100


@dataclass(frozen=True)
class TaskState:
    """One task instance; `state` is None before it is scheduled, `map_index` is -1 unless it is mapped."""

    task_id: str
    state: str | None
    try_number: int
    map_index: int


@dataclass(frozen=True)
class Backfill:
    """One backfill over logical dates `start` to `end`, both inclusive."""

    id: int
    dag_id: str
    start: datetime
    end: datetime
    is_completed: bool
    is_paused: bool


class AirflowClient:
    """Airflow's API as one user. Every method raises AirflowApiError (a MillraceError) when it is refused."""

    def __init__(self, url: str, user: str, password: str) -> None:
        self.url = url
        self.api = AirflowApi(url, user, password)

    @classmethod
    def local(cls, home: Home | None = None) -> AirflowClient:
        """The local stack's Airflow, as its admin; raises MillraceError before its first start."""
        home = home or Home.current()
        return cls(airflow_url(home), ADMIN, admin_password(home))

    def await_dag(self, dag_id: str, timeout: timedelta = timedelta(seconds=90)) -> None:
        """Return as soon as Airflow has parsed `dag_id`; raises MillraceError, with import errors, after `timeout`."""
        try:
            _await(lambda: self._knows(dag_id), timeout)
        except TimeoutError as error:
            problems = "\n".join(self.import_errors()) or "no file has an import error"
            raise MillraceError(
                f"DAG {dag_id!r}: not parsed within {timeout.total_seconds():.0f} s; does a file in dags/ declare it? "
                f"{problems}"
            ) from error

    def unpause(self, dag_id: str) -> None:
        """Let the scheduler run the DAG."""
        self.api.patch(f"/dags/{quote(dag_id)}", {"is_paused": False})

    def pause(self, dag_id: str) -> None:
        """Keep the scheduler from starting further runs and tasks of the DAG."""
        self.api.patch(f"/dags/{quote(dag_id)}", {"is_paused": True})

    def trigger(
        self, dag_id: str, params: Mapping[str, Any] | None = None, logical_date: datetime | None = None
    ) -> str:
        """Start a run now and return its id; without a logical date it covers no interval by itself."""
        date = logical_date.isoformat() if logical_date else None
        body = {"logical_date": date, "conf": dict(params or {})}
        return str(self.api.post(f"/dags/{quote(dag_id)}/dagRuns", body)["dag_run_id"])

    def runs(self, dag_id: str) -> list[dict[str, Any]]:
        """The DAG's runs as Airflow describes them, newest first, at most 100."""
        found: list[dict[str, Any]] = self.api.get(
            f"/dags/{quote(dag_id)}/dagRuns", order_by="-run_after", limit=_PAGE
        )["dag_runs"]
        return found

    def run_state(self, dag_id: str, run_id: str) -> str:
        """queued, running, success or failed."""
        return str(self.api.get(_run_path(dag_id, run_id))["state"])

    def tasks(self, dag_id: str, run_id: str) -> list[TaskState]:
        """The run's task instances, at most 100."""
        found = self.api.get(f"{_run_path(dag_id, run_id)}/taskInstances", limit=_PAGE)["task_instances"]
        return [TaskState(task["task_id"], task["state"], task["try_number"], task["map_index"]) for task in found]

    def await_run(self, dag_id: str, run_id: str, timeout: timedelta) -> str:
        """The state in which the run ended, success or failed; raises MillraceError, with its tasks, after
        `timeout`.
        """
        try:
            _await(lambda: self.run_state(dag_id, run_id) in _ENDED, timeout)
        except TimeoutError as error:
            states = ", ".join(f"{task.task_id} {task.state}" for task in self.tasks(dag_id, run_id))
            raise MillraceError(
                f"run {run_id!r} of {dag_id!r}: still {self.run_state(dag_id, run_id)} after "
                f"{timeout.total_seconds():.0f} s ({states}); see {self.url}/dags/{dag_id}/runs/{run_id}"
            ) from error
        return self.run_state(dag_id, run_id)

    def task_log(self, dag_id: str, run_id: str, task_id: str, try_number: int = 1, map_index: int = -1) -> list[str]:
        """The lines that one try of a task has logged so far, and what it raised, as the UI shows both.

        Raises AirflowApiError for a try that has not begun.
        """
        path = f"{_run_path(dag_id, run_id)}/taskInstances/{quote(task_id)}/logs/{try_number}"
        answer = self.api.get(path, map_index=map_index, full_content=True)
        return [text for line in answer["content"] for text in _log_lines(line)]

    def create_backfill(
        self,
        dag_id: str,
        start: datetime,
        end: datetime,
        *,
        params: Mapping[str, Any] | None = None,
        reprocess: Literal["none", "failed", "completed"] = "none",
        max_active_runs: int = 1,
    ) -> Backfill:
        """Queue one run per logical date from `start` to `end`, both inclusive.

        `reprocess` says which dates that have a run are run again. A paused DAG leaves the runs queued; one
        backfill per DAG may be active.
        """
        body = {
            "dag_id": dag_id,
            "from_date": start.isoformat(),
            "to_date": end.isoformat(),
            "dag_run_conf": dict(params or {}),
            "reprocess_behavior": reprocess,
            "max_active_runs": max_active_runs,
        }
        with self._paused(dag_id):
            return _backfill(self._post_unlocked("/backfills", body))

    @contextmanager
    def _paused(self, dag_id: str) -> Iterator[None]:
        """For the block; afterwards the DAG is as it was.

        On SQLite Airflow commits a backfill run by run, and deletes them where it meets a lock: a scheduler that has
        taken one meanwhile ends with StaleDataError.
        """
        was_paused = self.api.get(f"/dags/{quote(dag_id)}")["is_paused"]
        if was_paused:
            yield
            return
        self.pause(dag_id)
        try:
            yield
        finally:
            self.unpause(dag_id)

    def _post_unlocked(self, path: str, body: dict[str, Any]) -> Any:
        """POST again while Airflow answers that its SQLite database is locked: it has undone what it began."""
        deadline = time.monotonic() + _LOCKED.total_seconds()
        while True:
            try:
                return self.api.post(path, body)
            except AirflowApiError as error:
                if not _is_locked(error) or time.monotonic() > deadline:
                    raise
            time.sleep(_POLL_S)

    def backfills(self, dag_id: str) -> list[Backfill]:
        """The DAG's backfills, newest first, at most 100."""
        found = self.api.get("/backfills", dag_id=dag_id, order_by="-id", limit=_PAGE)["backfills"]
        return [_backfill(told) for told in found]

    def import_errors(self) -> list[str]:
        """One text per DAG file that does not import: its name and the traceback."""
        found = self.api.get("/importErrors", limit=_PAGE)["import_errors"]
        return [f"{error['filename']}: {error['stack_trace']}" for error in found]

    def _knows(self, dag_id: str) -> bool:
        try:
            self.api.get(f"/dags/{quote(dag_id)}")
        except AirflowApiError as error:
            if error.status == HTTPStatus.NOT_FOUND:
                return False
            raise
        return True


def _is_locked(error: AirflowApiError) -> bool:
    """503, or where the lock is met before the request itself, in Airflow's log of actions, a 500 of this reason."""
    return error.status == HTTPStatus.SERVICE_UNAVAILABLE or "'reason': 'Database error'" in str(error)


def _run_path(dag_id: str, run_id: str) -> str:
    return f"/dags/{quote(dag_id)}/dagRuns/{quote(run_id, safe='')}"


def _log_lines(line: str | dict[str, Any]) -> Iterator[str]:
    """An exception is not in the line's text but beside it."""
    if isinstance(line, str):
        yield line
        return
    yield str(line["event"])
    for error in line.get("error_detail") or ():
        yield from f"{error['exc_type']}: {error['exc_value']}".splitlines()


def _backfill(told: dict[str, Any]) -> Backfill:
    start, end = (datetime.fromisoformat(told[field]) for field in ("from_date", "to_date"))
    return Backfill(told["id"], told["dag_id"], start, end, told["completed_at"] is not None, told["is_paused"])


def _await(condition: Callable[[], bool], timeout: timedelta) -> None:
    deadline = time.monotonic() + timeout.total_seconds()
    while not condition():
        if time.monotonic() > deadline:
            raise TimeoutError
        time.sleep(_POLL_S)

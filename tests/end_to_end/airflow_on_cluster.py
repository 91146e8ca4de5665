"""Airflow's own processes with a pipeline's DAGs, whose drivers run elsewhere: what holds on every such platform."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from jobs.lake import batch_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.builders.stream_jobs import archive_job
from millrace.environment import Environment
from millrace.home import Home
from millrace.lake.published import publications
from millrace.lake.view import read_view
from millrace.platforms import platform_for
from millrace.platforms.protocol import JobState, RunningJob
from millrace.producers import Settings, generate, send
from millrace.stack.airflow import start_airflow, stop_airflow
from millrace.stack.airflow_client import AirflowClient
from millrace.stack.topics import ensure_topic
from tests.end_to_end.airflow_kept import kept
from tests.end_to_end.streams import ARCHIVE, SPEED, STREAMS, await_true
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows

__all__ = ["DAY", "Place", "airflow_elsewhere", "send_ticks"]

BATCH, SPEED_STREAM = batch_query(stock_high_low.name), STREAMS[SPEED]
# It ended more than the topic's allowed lateness ago, at whatever hour.
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
_PATIENCE = timedelta(minutes=15)  # four Spark jobs beside Airflow, on two cores
_SECOND = timedelta(seconds=1)


def send_ticks(environment: Environment) -> None:
    """A quarter of an hour of ticks at the noon of DAY, with everything that goes wrong."""
    ensure_topic(environment, stock_ticks.name, stock_ticks.partitions)
    noon = DAY + timedelta(hours=12)
    ticks = generate(Settings(noon, rate=1, count=900, disorder=0.05, duplicates=0.02, garbage=0.02))
    send(ticks, stock_ticks.name, environment.kafka_bootstrap, environment.kafka_options)


@dataclass
class Place:
    """Airflow in `home`, whose connections hold `passwords`; the platform and the environment of its drivers, as this
    process sees them."""

    client: AirflowClient
    environment: Environment
    home: Home
    passwords: Mapping[str, str]

    def __post_init__(self) -> None:
        self.platform = platform_for(self.environment)

    def adopts_what_somebody_started(self) -> None:
        """The archive's task finds a driver there, which it supervises and does not start again."""
        started = self.platform.submit(archive_job(stock_ticks, _SECOND, self.environment, "somebody.1"))
        self.client.await_dag(ARCHIVE, _PATIENCE)
        self.client.unpause(ARCHIVE)
        self._await_deferral(ARCHIVE)
        log = "\n".join(self.client.task_log(ARCHIVE, self._run_of(ARCHIVE), "stream"))
        assert f"adopting what somebody.1 started: driver {started.id}" in log
        assert self.platform.find(ARCHIVE) == started

    def begin_night(self) -> int:
        """The speed stream runs, and Airflow's backfill of DAY has begun; its number."""
        self.client.await_dag(SPEED, _PATIENCE)
        self.client.unpause(SPEED)
        self.driver(SPEED_STREAM)
        night = self.client.create_backfill(BATCH, DAY, DAY + timedelta(days=1) - _SECOND)
        self.client.unpause(BATCH)  # not before: last night's run would find the day missed
        return night.id

    def await_reprocess(self) -> None:
        """Until the night's Spark job is submitted, and its task waits for it."""
        self._await_deferral(BATCH, "interval_run.reprocess")

    def publishes(self, night: int) -> None:
        """DAY was certified and reprocessed and agrees with the speed layer, and batch serves what the oracle says."""

        def is_completed() -> bool:
            return next(found for found in self.client.backfills(BATCH) if found.id == night).is_completed

        await_true("the night", is_completed, _PATIENCE, poll_s=1)
        states = {task.task_id: task.state for task in self.client.tasks(BATCH, self._run_of(BATCH, "backfill"))}
        assert states["interval_run.publish"] == "success", states
        published = next(each for each in publications(self.environment, stock_high_low) if each.interval.start == DAY)
        assert published.result["parity"]["different"] == 0
        served = read_view(self.environment, stock_high_low)
        assert set(served["_layer"].to_pylist()) == {"batch"}
        kafka = (self.environment.kafka_bootstrap, stock_ticks.name, self.environment.kafka_options)
        assert view_rows(served) == high_low(read_topic(*kafka))

    def shows_no_secret(self) -> None:
        """Not in an XCom, a rendered field or a log of any run."""
        told = kept(self.client)
        for name in (ARCHIVE, "interval_run.reprocess", "certified_at"):
            assert name in told
        for name, password in self.passwords.items():
            assert password not in told, f"the password of {name}"

    def supervises_on_after_a_restart_and_stops_with_its_tasks(self) -> None:
        """All of Airflow ends and starts: the drivers are those of before, and each ends when its task is marked."""
        before = {name: self.driver(name) for name in (ARCHIVE, SPEED_STREAM)}
        stop_airflow(self.home)
        start_airflow(self.home, self.environment)
        for dag_id in (ARCHIVE, SPEED):
            self._await_deferral(dag_id)
        assert {name: self.driver(name) for name in before} == before
        for dag_id, name in ((ARCHIVE, ARCHIVE), (SPEED, SPEED_STREAM)):
            self._mark_success(dag_id)
            assert self._end(before[name]) == (JobState.SUCCEEDED, 0)
            await_true(f"the end of {dag_id}", lambda dag_id=dag_id: self.client.runs(dag_id)[0]["state"] == "success")
            assert self.platform.find(name) is None

    def driver(self, name: str) -> RunningJob:
        """The live driver of this name, awaited."""
        return await_true(f"the driver of {name}", lambda: self.platform.find(name), _PATIENCE)

    def _run_of(self, dag_id: str, run_type: str = "") -> str:
        """The newest run of a DAG, awaited."""

        def newest() -> str | None:
            runs = (run for run in self.client.runs(dag_id) if run_type in ("", run["run_type"]))
            return next((str(run["dag_run_id"]) for run in runs), None)

        return await_true(f"a run of {dag_id}", newest, _PATIENCE)

    def _await_deferral(self, dag_id: str, task_id: str = "stream") -> None:
        run = self._run_of(dag_id, "backfill" if dag_id == BATCH else "")

        def is_deferred() -> bool:
            return any(task.state == "deferred" for task in self.client.tasks(dag_id, run) if task.task_id == task_id)

        await_true(f"{dag_id}.{task_id} deferred", is_deferred, _PATIENCE)

    def _mark_success(self, dag_id: str) -> None:
        path = f"/dags/{dag_id}/dagRuns/{quote(self._run_of(dag_id), safe='')}/taskInstances/stream"
        self.client.api.patch(path, {"new_state": "success"})

    def _end(self, running: RunningJob) -> tuple[JobState, int | None]:
        def ended() -> Any:
            status = self.platform.state(running.id)
            return status if status.state is not JobState.RUNNING else None

        status = await_true(f"the end of {running.name}", ended, _PATIENCE)
        return status.state, status.exit_code


@contextmanager
def airflow_elsewhere(
    environment: Environment, files: Path, home: Home, connections: Mapping[str, tuple[str, str]]
) -> Iterator[Place]:
    """Airflow in `home` until the end of the block: it runs `environment`, whose file is in the folder `files`.

    `connections`: by its name, a login and a password. They are in Airflow's database alone.
    """
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_ENVIRONMENT", environment.name)
        patch.setenv("MILLRACE_ENVIRONMENTS", str(files))
        try:
            start_airflow(home, environment)
            client = AirflowClient.local(home)
            for name, (login, password) in connections.items():
                made = {"connection_id": name, "conn_type": "generic", "login": login, "password": password}
                client.api.post("/connections", made)
            yield Place(client, environment, home, {name: password for name, (_, password) in connections.items()})
        finally:
            stop_airflow(home)

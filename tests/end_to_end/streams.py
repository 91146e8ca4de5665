"""The streams of a test run, driven through Airflow as a user would."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TypeVar

import psutil

from jobs.lake import RAW_VERSION, Lake, archive_query, speed_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.certificate import certify
from millrace.lake.offsets import end_offsets
from millrace.lake.store import LakeStore
from millrace.platforms import platform_for
from millrace.platforms.local import local_platform
from millrace.platforms.protocol import RunningJob
from millrace.stack.airflow_client import AirflowClient
from tests.end_to_end.drivers import driver_processes
from tests.faults.signals import kill

__all__ = ["ARCHIVE", "DAYS", "FIRST_DAY", "SPEED", "STREAMS", "Streams", "await_true"]

ARCHIVE = archive_query(stock_ticks.name)
SPEED = speed_query(stock_high_low.name)
DAYS = int(os.environ.get("MILLRACE_PAST_DAYS", "3"))
# They ended a day ago at least, which is more than the allowed lateness: no run waits for them, at whatever hour.
FIRST_DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=DAYS + 1)
VERSIONS = {ARCHIVE: RAW_VERSION, SPEED: fingerprint(stock_high_low)}
STREAMS = {ARCHIVE: ARCHIVE, SPEED: speed_stream(stock_high_low.name, VERSIONS[SPEED])}

T = TypeVar("T")


def await_true(
    what: str, condition: Callable[[], T | None], timeout: timedelta = timedelta(minutes=4), poll_s: float = 0.2
) -> T:
    """The condition's value as soon as it is true; fails the test, saying what was awaited, after the timeout."""
    deadline = time.monotonic() + timeout.total_seconds()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {timeout}: {what}"
        time.sleep(poll_s)
    return value


class Streams:
    """Starts and observes the two streams; `environment` is the running stack's."""

    def __init__(self, airflow: AirflowClient, environment: Environment) -> None:
        self.airflow = airflow
        self.environment = environment
        self.store = LakeStore(environment)

    def run_dag(self, dag_id: str, **params: object) -> None:
        """Triggers a DAG as the UI does and waits for its success."""
        self.airflow.await_dag(dag_id)
        self.airflow.unpause(dag_id)
        run = self.airflow.trigger(dag_id, params)
        state = self.airflow.await_run(dag_id, run, timedelta(minutes=5))
        tasks = self.airflow.tasks(dag_id, run)
        failed = [task for task in tasks if task.state == "failed"]
        log = self.airflow.task_log(dag_id, run, failed[0].task_id)[-30:] if failed else []
        assert state == "success", "\n".join([str(tasks), *log])

    def provision(self) -> None:
        self.run_dag("provision")

    def produce_past_days(self) -> None:
        duration_s = DAYS * 86400
        self.run_dag(
            "produce_stock_ticks",
            start=FIRST_DAY.isoformat(),
            duration_s=duration_s,
            rate=0.2,
            seed=3,
            disorder=0.05,
            duplicates=0.01,
            garbage=0.02,
        )

    def start(self) -> None:
        for query in (ARCHIVE, SPEED):
            self.airflow.await_dag(query)
            self.airflow.unpause(query)

    def settle(self) -> None:
        """Until both streams have processed everything that Kafka holds."""
        certify(self.environment, stock_ticks, wait=timedelta(minutes=5))
        self.await_speed(end_offsets(self.environment, stock_ticks.name))

    def driver(self, query: str) -> RunningJob:
        """The live driver of a query, awaited."""
        platform = platform_for(self.environment)
        return await_true(f"driver of {query}", lambda: platform.find(STREAMS[query]), timedelta(minutes=5))

    def processes(self, job: RunningJob) -> list[psutil.Process]:
        return driver_processes(local_platform(self.environment), job)

    def last_batch(self, query: str, log: str) -> int:
        """Number of the newest micro-batch in the checkpoint's `offsets` (planned) or `commits` (done); -1: none."""
        folder = f"{Lake('').checkpoint(query, VERSIONS[query])}/{log}"
        names = [path.rpartition("/")[2] for path in self.store.list(folder)]
        return max((int(name) for name in names if name.isdigit()), default=-1)

    def kill_in_micro_batch(self, query: str) -> int:
        """SIGKILLs the query's driver while a micro-batch is planned but not done; the number of that micro-batch.

        A kill that came too late, after the commit, was none in a micro-batch: the next driver is killed then.
        """
        for _ in range(3):
            job = self.driver(query)
            batch = self._kill(query, job)
            if self.last_batch(query, "commits") < batch:
                return batch
            await_true(f"the end of {job.id}", lambda job=job: self.driver(query).id != job.id)
        raise AssertionError(f"three drivers of {query} were done with their micro-batch before they were killed")

    def _kill(self, query: str, job: RunningJob) -> int:
        """Kills the driver's processes as soon as a micro-batch is under way; its number."""
        victims = await_true(f"processes of {job.id}", lambda: self.processes(job))

        def under_way() -> int | None:
            planned = self.last_batch(query, "offsets")
            return planned if planned > self.last_batch(query, "commits") else None

        batch = await_true(f"a micro-batch of {query} under way", under_way, poll_s=0.02)
        kill(victims)
        return batch

    def await_speed(self, offsets: dict[int, int]) -> None:
        """Until the speed query has done a micro-batch that ends at or after these offsets."""
        checkpoint = Lake("").checkpoint(SPEED, VERSIONS[SPEED])

        def reached() -> bool:
            lines = self.store.read_lines(f"{checkpoint}/offsets/{self.last_batch(SPEED, 'commits')}")
            if len(lines) != 3:
                return False
            done = json.loads(lines[2])[stock_ticks.name]
            return all(done.get(str(partition), 0) >= end for partition, end in offsets.items())

        await_true(f"{SPEED} at {offsets}", reached, timedelta(minutes=5))

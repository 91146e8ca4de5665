"""The main job's parts on a cluster: what feeds them, what runs them, and what the oracle expects."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.interval import Interval
from jobs.lake import RAW_VERSION, Lake, archive_query, speed_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from jobs.version import fingerprint
from millrace.builders.stream_jobs import archive_job, speed_job
from millrace.cli.batch import reprocess_interval
from millrace.environment import Environment
from millrace.lake.catch_up import processed_offsets
from millrace.lake.certificate import certify
from millrace.lake.offsets import end_offsets
from millrace.lake.serving import begin_serving
from millrace.lake.store import LakeStore
from millrace.lake.view import read_view
from millrace.platforms.hdinsight import HdinsightPlatform, hdinsight_platform
from millrace.platforms.protocol import JobState, JobStatus, RunningJob, SparkJob
from millrace.producers import Settings, generate, send
from millrace.stack.topics import ensure_topic
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from millrace.waiting import until
from tests.end_to_end.topic_oracle import KafkaRecord, high_low, read_topic, view_rows
from tests.plugins.operators.broker_check_task import run_check

__all__ = ["ARCHIVE", "DAY", "PATIENCE", "SPEED", "Streams"]

ARCHIVE, SPEED = archive_query(stock_ticks.name), speed_query(stock_high_low.name)
_JOBS = {ARCHIVE: ARCHIVE, SPEED: speed_stream(stock_high_low.name, fingerprint(stock_high_low))}

# It ended more than the topic's allowed lateness ago: no run waits for it, at whatever hour.
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=2)
PATIENCE = timedelta(minutes=6)
_SECOND = timedelta(seconds=1)


@dataclass
class Streams:
    """The archive and the speed stream of `stock_high_low` in one environment."""

    environment: Environment

    def __post_init__(self) -> None:
        self.platform: HdinsightPlatform = hdinsight_platform(self.environment)
        self.store = LakeStore(self.environment)
        self.version = fingerprint(stock_high_low)
        ensure_topic(self.environment, stock_ticks.name, stock_ticks.partitions)
        begin_serving(self.environment, stock_high_low, self.version, by="the test")

    def produce(self, start: datetime, count: int, seed: int) -> None:
        """Ticks of ten symbols, one a second, with everything that goes wrong."""
        ticks = generate(Settings(start, rate=1, count=count, seed=seed, disorder=0.05, duplicates=0.02, garbage=0.02))
        send(ticks, stock_ticks.name, self.environment.kafka_bootstrap, self.environment.kafka_options)

    def begin(self, day: int, next_day: int) -> None:
        """Ticks of DAY, and of the day after it, so many, and both streams over them."""
        self.produce(DAY + timedelta(hours=1), day, seed=3)
        self.produce(DAY + timedelta(hours=30), next_day, seed=4)
        for job in (self.archive("archive.1"), self.speed("speed.1")):
            running = self.platform.submit(job)
            assert (running.name, running.owner, running.arguments) == (job.name, job.owner, job.arguments)
            assert self.platform.state(running.id).state is JobState.RUNNING

    def check_brokers(self) -> dict[str, dict[str, str]]:
        """By the address that each broker advertises: where it is not reached from, and why. The way of Airflow's task.

        Raises AirflowException where one is not reached.
        """
        report = run_check(Connection(self.environment, self.platform, self.store))
        assert {place.partition(" ")[0] for place in report["places"]} == {"driver", "executor"}
        assert any(broker["read"] for broker in report["brokers"]), "executors log in where a topic's partition is led"
        return {broker["address"]: broker["unreached"] for broker in report["brokers"]}

    def live(self, query: str) -> RunningJob:
        """The driver of ARCHIVE or SPEED."""
        found = self.platform.find(_JOBS[query])
        assert found is not None
        return found

    def archive(self, owner: str) -> SparkJob:
        return archive_job(stock_ticks, _SECOND, self.environment, owner)

    def speed(self, owner: str) -> SparkJob:
        return speed_job(stock_high_low.name, self.version, _SECOND, self.environment, owner)

    def settle(self) -> None:
        """Until both streams have processed all that Kafka holds."""
        certify(self.environment, stock_ticks, wait=PATIENCE)
        ends = end_offsets(self.environment, stock_ticks.name)
        pipeline = (self.environment, stock_high_low, self.version)
        assert until(lambda: processed_offsets(*pipeline) == ends, PATIENCE), f"speed at {processed_offsets(*pipeline)}"

    def reprocess(self) -> dict[str, Any]:
        """DAY, certified and published."""
        connection = Connection(self.environment, self.platform, self.store)
        interval = Interval.of(DAY, stock_high_low.interval)
        return reprocess_interval(connection, stock_high_low, interval, PATIENCE, verbose=False)

    def view(self) -> tuple[dict[Any, Any], set[str]]:
        """The rows, and the layers that they come from."""
        rows = read_view(self.environment, stock_high_low)
        return view_rows(rows), set(rows["_layer"].to_pylist())

    def expected(self) -> dict[Any, Any]:
        """By the oracle, from what Kafka holds."""
        return high_low(self.records())

    def records(self) -> list[KafkaRecord]:
        """All that Kafka holds now."""
        environment = self.environment
        return read_topic(environment.kafka_bootstrap, stock_ticks.name, environment.kafka_options)

    def stop(self, job: RunningJob) -> JobStatus:
        """Gracefully: by a request on the lake."""
        StreamControl(self.store, job.name).request_stop(job.owner, "the test")
        return self.end(job)

    def end(self, job: RunningJob) -> JobStatus:
        """How the job has ended, awaited."""
        self.await_true("its end", job, lambda: self.platform.state(job.id).state is not JobState.RUNNING)
        return self.platform.state(job.id)

    def await_true(self, what: str, job: RunningJob, condition: Callable[[], bool]) -> None:
        """Fails with the driver's log."""
        if not until(condition, PATIENCE):
            log = "\n".join(self.platform.logs(job.id, 60))
            raise AssertionError(f"{job.name}: waited {PATIENCE} for {what}; {self.platform.state(job.id)}\n{log}")

    def batches(self, query: str, log: str) -> int:
        """Number of the newest micro-batch in a checkpoint's `offsets` (planned) or `commits` (done); -1: none."""
        version = RAW_VERSION if query == archive_query(stock_ticks.name) else self.version
        folder = speed_query(stock_high_low.name) if version == self.version else query
        names = (path.rpartition("/")[2] for path in self.store.list(f"{Lake('').checkpoint(folder, version)}/{log}"))
        return max((int(name) for name in names if name.isdigit()), default=-1)

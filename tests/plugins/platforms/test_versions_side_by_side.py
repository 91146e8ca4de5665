"""Two versions of a pipeline, each by its own code, at the same time on real Kafka, Azurite and Spark drivers."""

from __future__ import annotations

import dataclasses
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.interval import Interval
from jobs.lake import speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.builders.stream_jobs import archive_job, speed_job
from millrace.cli.batch import reprocess_interval
from millrace.environment import Environment
from millrace.home import Home
from millrace.lake.catch_up import is_caught_up, processed_offsets
from millrace.lake.certificate import certify
from millrace.lake.declared import declared
from millrace.lake.explain import newest_result
from millrace.lake.offsets import end_offsets
from millrace.lake.serving import begin_serving, rollback, served_version, switch
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table
from millrace.lake.view import read_view
from millrace.platforms.local import LocalPlatform, local_platform
from millrace.platforms.protocol import JobCode, JobState, RunningJob
from millrace.producers import Settings, generate, send
from millrace.stack.topics import ensure_topic
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from millrace.waiting import until
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows
from tests.plugins.platforms.code_copies import TOPICS, TRANSFORM, copied_code, keep

# `make test-release` runs the like of it through Airflow: tests/end_to_end/one_stack/test_upgrade.py.
pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(900)]

SECOND, PATIENCE = timedelta(seconds=1), timedelta(minutes=4)
TODAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
FIRST_DAY, SECOND_DAY = (TODAY - timedelta(days=days) for days in (3, 2))
# The new version calls the last price the highest, and has a column that the old one lacks.
CHANGES = (
    (TRANSFORM, 'F.max("price").alias("high")', 'F.max_by("price", order).alias("high")'),
    (TRANSFORM, 'F.count("*").alias("count"),', 'F.count("*").alias("count"), F.max("volume").alias("largest"),'),
    (TRANSFORM, '            "count",\n', '            "count",\n            "largest",\n'),
)
Rows = dict[tuple[str, datetime], dict[str, Any]]


class Drivers:
    """A fresh topic and a fresh lake, with the code of two versions; and the real drivers there."""

    def __init__(self, environment: Environment, home: Home, folder: Path) -> None:
        topic = dataclasses.replace(stock_ticks, name=f"ticks_{uuid.uuid4().hex[:12]}")
        self.pipeline = dataclasses.replace(stock_high_low, topic=topic)
        self.environment = dataclasses.replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
        self.platform: LocalPlatform = local_platform(self.environment, home)
        self.connection = Connection(self.environment, self.platform, LakeStore(self.environment))
        renamed = (TOPICS, 'name="stock_ticks"', f'name="{topic.name}"')
        self.old = keep(self.environment, copied_code(folder / "old", renamed))
        self.new = keep(self.environment, copied_code(folder / "new", renamed, *CHANGES))
        ensure_topic(environment, topic.name, topic.partitions)

    def send(self, start: datetime, count: int) -> None:
        """Ticks of ten symbols, one a second."""
        ticks = generate(Settings(start, rate=1, count=count, disorder=0.05, duplicates=0.02, garbage=0.02))
        send(ticks, self.pipeline.topic.name, self.environment.kafka_bootstrap)

    def start(self, version: str) -> RunningJob:
        return self.platform.submit(speed_job(self.pipeline.name, version, SECOND, self.environment, f"{version}.1"))

    def archive(self) -> None:
        """All that Kafka holds now."""
        job = archive_job(self.pipeline.topic, SECOND, self.environment, "archive.1")
        running = self.platform.submit(dataclasses.replace(job, code=JobCode(self.pipeline.name, self.old)))
        certify(self.environment, self.pipeline.topic, wait=PATIENCE)
        self.stop(running)

    def stop(self, running: RunningJob) -> None:
        StreamControl(self.connection.notes, running.name).request_stop(running.owner, "the test")
        ended = until(lambda: self.platform.state(running.id).state is not JobState.RUNNING, PATIENCE)
        assert ended
        assert self.platform.state(running.id).exit_code == 0, self.platform.logs(running.id, 40)

    def reprocess(self, version: str, day: datetime) -> dict[str, Any]:
        interval = Interval.of(day, self.pipeline.interval)
        return reprocess_interval(self.connection, self.pipeline, interval, PATIENCE, False, version=version)

    def await_all_processed(self, version: str) -> None:
        ends = end_offsets(self.environment, self.pipeline.topic.name)
        reached = until(lambda: processed_offsets(self.environment, self.pipeline, version) == ends, PATIENCE)
        assert reached, self.platform.logs(self.find(version).id, 40)

    def find(self, version: str) -> RunningJob:
        running = self.platform.find(speed_stream(self.pipeline.name, version))
        assert running is not None
        return running

    def view(self) -> tuple[Rows, set[tuple[str, str]]]:
        """The rows, and which layer serves which interval. Rows of the new version alone have a `largest`."""
        rows = read_view(self.environment, self.pipeline)
        largest = rows["largest"].null_count if "largest" in rows.column_names else rows.num_rows
        assert largest == (0 if served_version(self.environment, self.pipeline) == self.new else rows.num_rows)
        return view_rows(rows), set(zip(rows["_interval"].to_pylist(), rows["_layer"].to_pylist(), strict=True))

    def expected(self, version: str) -> Rows:
        """By the oracle, from what Kafka holds."""
        rows = high_low(read_topic(self.environment.kafka_bootstrap, self.pipeline.topic.name))
        return rows if version == self.old else {key: row | {"high": row["close"]} for key, row in rows.items()}


@pytest.fixture
def drivers(environment: Environment, stack: Home, tmp_path: Path) -> Iterator[Drivers]:
    drivers = Drivers(environment, stack, tmp_path)
    yield drivers
    for running in drivers.platform.live_jobs():
        drivers.platform.cancel(running.id, timedelta(0))


def test_versions_run_side_by_side_and_one_commit_switches_both_layers_there_and_back(drivers: Drivers) -> None:
    environment, pipeline, old, new = drivers.environment, drivers.pipeline, drivers.old, drivers.new
    drivers.send(FIRST_DAY + timedelta(hours=23, minutes=50), 1200)  # up to 00:10 of the second day
    drivers.archive()
    begin_serving(environment, pipeline, old, by="a test")
    of_old = drivers.start(old)
    drivers.await_all_processed(old)
    assert drivers.view() == (drivers.expected(old), {(day_id(FIRST_DAY), "speed"), (day_id(SECOND_DAY), "speed")})
    assert drivers.reprocess(old, FIRST_DAY)["parity"]["equal"] > 0

    assert drivers.reprocess(new, FIRST_DAY)["published"]
    first = Interval.of(FIRST_DAY, pipeline.interval)
    assert newest_result(environment, pipeline, first)["version"] == old, "though the new version ran it later"
    assert newest_result(environment, pipeline, first, new)["version"] == new
    assert {declared(environment, pipeline, each) for each in (old, new)} == {pipeline}, "noted by the drivers"
    assert set(LakeStore(environment).list("code")) == {
        f"code/{v}.{kind}" for v in (old, new) for kind in ("json", "zip")
    }

    of_new = drivers.start(new)
    drivers.await_all_processed(new)
    drivers.send(SECOND_DAY + timedelta(minutes=20), 600)
    assert is_caught_up(environment, pipeline, new, old, PATIENCE)
    drivers.await_all_processed(old), drivers.await_all_processed(new)
    both_layers = {(day_id(FIRST_DAY), "batch"), (day_id(SECOND_DAY), "speed")}
    assert drivers.view() == (drivers.expected(old), both_layers), "the new version is published, and nobody sees it"

    switch(environment, pipeline, new, by="a test", reason="", expected=old)
    assert drivers.expected(new) != drivers.expected(old)
    assert drivers.view() == (drivers.expected(new), both_layers)

    drivers.stop(of_old)
    drivers.send(SECOND_DAY + timedelta(minutes=40), 600)
    drivers.await_all_processed(new)
    assert drivers.view() == (drivers.expected(new), both_layers)
    rollback(environment, pipeline, by="a test", reason="")
    of_old = drivers.start(old)
    drivers.await_all_processed(old)
    assert drivers.view() == (drivers.expected(old), both_layers), "from its own checkpoint, by its own code"
    drivers.stop(of_old), drivers.stop(of_new)
    assert versions_of_speed_rows(drivers) == {old, new}


def day_id(day: datetime) -> str:
    return Interval.of(day, stock_high_low.interval).id


def versions_of_speed_rows(drivers: Drivers) -> set[str]:
    table = open_table(drivers.environment, f"{drivers.environment.lake}/speed/{drivers.pipeline.name}")
    assert table is not None
    return set(table.to_pyarrow_table(columns=["_version"])["_version"].to_pylist())

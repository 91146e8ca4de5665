"""A new version is brought into service by Airflow, beside the one that is served, and rolled back again."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.interval import Interval
from jobs.lake import speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.cli.batch import reprocess_interval
from millrace.lake.catch_up import processed_offsets
from millrace.lake.offsets import end_offsets
from millrace.lake.published import publications_of
from millrace.lake.serving import rollback, switch
from millrace.lake.store import LakeStore
from millrace.lake.view import read_view
from millrace.platforms.local import local_platform
from millrace.supervision.connection import Connection
from millrace.supervision.generation import safe
from tests.end_to_end.streams import FIRST_DAY, Streams, await_true
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows
from tests.plugins.platforms.code_copies import TRANSFORM, copied_code, keep

pytestmark = [pytest.mark.release, pytest.mark.timeout(1200)]

NAME, NEW = stock_high_low.name, fingerprint(stock_high_low)
DAY = Interval.of(FIRST_DAY, stock_high_low.interval)
Rows = dict[tuple[str, datetime], dict[str, Any]]


class Versions:
    """The code here, and an old version of it that calls the last price the highest."""

    def __init__(self, streams: Streams, folder: Path) -> None:
        self.environment = streams.environment
        changed = (TRANSFORM, 'F.max("price").alias("high")', 'F.max_by("price", order).alias("high")')
        self.old = keep(self.environment, copied_code(folder, changed))

    def live(self) -> set[str]:
        names = {speed_stream(NAME, version): version for version in (self.old, NEW)}
        return {names[job.name] for job in local_platform(self.environment).live_jobs() if job.name in names}

    def await_alone(self, version: str) -> None:
        """Until the driver of this version is the only one, and has processed everything."""
        await_true(f"{version} alone", lambda: self.live() == {version}, timedelta(minutes=5))
        ends = end_offsets(self.environment, stock_high_low.topic.name)
        await_true(f"{version} at {ends}", lambda: processed_offsets(self.environment, stock_high_low, version) == ends)

    def publish(self, interval: Interval) -> None:
        """By the served version. Not by the batch DAG: once that is unpaused, a night makes good what it has missed."""
        connection = Connection(self.environment, local_platform(self.environment), LakeStore(self.environment))
        assert reprocess_interval(connection, stock_high_low, interval, timedelta(minutes=5), False)["published"]

    def view(self, layer: str) -> Rows:
        rows = read_view(self.environment, stock_high_low)
        return view_rows(rows.filter([found == layer for found in rows["_layer"].to_pylist()]))

    def expected(self, version: str) -> Rows:
        rows = high_low(read_topic(self.environment.kafka_bootstrap, stock_high_low.topic.name))
        return rows if version == NEW else {key: row | {"high": row["close"]} for key, row in rows.items()}


def test_an_upgrade_switches_both_layers_and_the_speed_layers_task_follows_there_and_back(
    settled: Streams, tmp_path: Path
) -> None:
    versions = Versions(settled, tmp_path)
    environment, old = settled.environment, versions.old
    switch(environment, stock_high_low, old, by="a test", reason="as if it had been served before the code changed")
    versions.await_alone(old)
    versions.publish(DAY)
    assert DAY in {found.interval for found in publications_of(environment, stock_high_low, old)}
    expected = versions.expected(old)
    assert in_day(versions.view("batch")) == in_day(expected)
    assert (speed := versions.view("speed")) == {key: expected[key] for key in speed}

    settled.run_dag(f"{NAME}__upgrade", approve=True)
    versions.await_alone(NEW)
    driver = local_platform(environment).find(speed_stream(NAME, NEW))
    assert driver is not None
    upgrade_run = settled.airflow.runs(f"{NAME}__upgrade")[0]["dag_run_id"]
    assert driver.owner.startswith(safe(upgrade_run)), "the candidate's driver was adopted, not restarted"
    assert DAY in {found.interval for found in publications_of(environment, stock_high_low, NEW)}
    assert versions.view("batch") | versions.view("speed") == versions.expected(NEW)

    rollback(environment, stock_high_low, by="a test", reason="a test")
    versions.await_alone(old)
    expected = versions.expected(old)
    assert in_day(versions.view("batch")) == in_day(expected)
    assert (speed := versions.view("speed")) == {key: expected[key] for key in speed}


def in_day(rows: Rows) -> Rows:
    return {key: row for key, row in rows.items() if DAY.start <= key[1] < DAY.end}

"""What `millrace status` says of streams when two versions of a pipeline run."""

from __future__ import annotations

import dataclasses
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.lake import alerts_query, archive_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.cli.stack import micro_batch
from millrace.cli.status import stream_status
from millrace.environment import Environment
from millrace.home import Home
from millrace.lake.serving import begin_serving
from millrace.platforms.local import LocalPlatform
from millrace.platforms.protocol import SparkJob
from millrace.supervision.served_stream import code_line

pytestmark = pytest.mark.stack

NAME, OLD, NEW = stock_high_low.name, "0123456789ab", fingerprint(stock_high_low)
SLEEP = "import time; time.sleep(600)"


@pytest.fixture
def lake_here(environment: Environment) -> Environment:
    return dataclasses.replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """Where the drivers of both versions run, and a batch job."""
    platform = LocalPlatform(tmp_path / "jobs", lambda *_: ([sys.executable, "-c", SLEEP], {}))
    for name in (speed_stream(NAME, OLD), speed_stream(NAME, NEW), f"{NAME}__batch.20261120T000000Z.x"):
        platform.submit(SparkJob(name, (), "me.1"))
    yield Home(tmp_path)
    for running in platform.live_jobs():
        platform.cancel(running.id, timedelta(0))


def rows_of_the_pipeline(environment: Environment, home: Home, *, answers: bool) -> list[dict[str, Any]]:
    """And of its topic: a project may have more pipelines."""
    mine = (archive_query(stock_high_low.topic.name), f"{NAME}__")
    return [row for row in stream_status(environment, home, answers=answers) if row["query"].startswith(mine)]


def test_the_served_versions_stream_is_shown_and_every_other_that_runs_as_a_candidate(
    lake_here: Environment, home: Home
) -> None:
    begin_serving(lake_here, stock_high_low, OLD, by="a test")
    shown = rows_of_the_pipeline(lake_here, home, answers=True)
    assert [(row["query"], row["state"], row["is_candidate"]) for row in shown] == [
        ("archive__stock_ticks", "stopped", False),
        (speed_stream(NAME, OLD), "running", False),
        (alerts_query(NAME), "stopped", False),
        (speed_stream(NAME, NEW), "running", True),
    ]


def test_what_runs_is_shown_also_when_the_lake_does_not_answer(lake_here: Environment, home: Home) -> None:
    shown = [row["query"] for row in rows_of_the_pipeline(lake_here, home, answers=False)]
    speed = {speed_stream(NAME, OLD), speed_stream(NAME, NEW)}
    assert set(shown) == {"archive__stock_ticks", alerts_query(NAME), *speed}


def test_that_the_code_here_is_not_served_is_said_with_what_to_do(lake_here: Environment) -> None:
    assert code_line(lake_here, NAME) is None
    begin_serving(lake_here, stock_high_low, OLD, by="a test")
    line = code_line(lake_here, NAME)
    assert line is not None
    for part in (OLD, NEW, "stock_high_low__upgrade"):
        assert part in line


def test_the_last_micro_batch_is_told_as_far_as_its_line_knows() -> None:
    line = {"batch_id": 7, "timestamp": "2026-11-20T12:00:00.000Z", "rows": 1200, "late_rows": 0}
    assert micro_batch(line) == "#7 at 2026-11-20T12:00:00.000Z, 1,200 rows"
    assert micro_batch(line | {"late_rows": 3}).endswith("1,200 rows, late events for 3 rows")
    recovered = line | {"rows": None, "late_rows": None}  # from the checkpoint, after a kill
    assert micro_batch(recovered) == "#7 at 2026-11-20T12:00:00.000Z"

"""A run of another version than the code here is published only where its certificate is about what it read."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.pending_late import look_back, overdue
from millrace.lake.published import publications, publish
from tests.plugins.lake.lake_rows import certificate, interval
from tests.plugins.lake.raw_rows import archive, local_environment

MICROSECOND, HOUR, DAY = timedelta(microseconds=1), timedelta(hours=1), timedelta(days=1)
LATENESS = stock_high_low.topic.allowed_lateness


@pytest.fixture
def environment_here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


def publish_read(environment: Environment, reads: Interval, told_at: str, partial: str = "", **told: Any) -> bool:
    """Publishes a run of the first interval, of a version that reads these times; Kafka told its end at `told_at`."""
    proof = replace(certificate(0), kafka_end_at=told_at, partial=[partial] if partial else [])
    result = {
        "version": "v1",
        "rows_read": 3,
        "topic": "stock_ticks",
        "interval_end": interval(0).end.isoformat(),
        "reads": [reads.start.isoformat(), reads.end.isoformat()],
        **told,
    }
    return publish(environment, stock_high_low, interval(0), run="r", version="v1", certificate=proof, result=result)


def test_a_run_that_read_beyond_what_was_certified_is_not_published(environment_here: Environment) -> None:
    """The version has sessions that go on for two hours, and the code here windows that tumble."""
    reads = Interval(interval(0).start, interval(0).end + 2 * HOUR)
    early, due = interval(0).end + LATENESS, reads.end + LATENESS
    with pytest.raises(MillraceError, match=r"version v1 read events that may arrive until .*stock_high_low__upgrade"):
        publish_read(environment_here, reads, early.isoformat())
    with pytest.raises(MillraceError, match="check out the code of v1"):
        publish_read(environment_here, reads, (due - MICROSECOND).isoformat())
    assert publications(environment_here, stock_high_low) == []
    assert publish_read(environment_here, reads, early.isoformat(), partial="the archive is behind Kafka")
    assert publish_read(environment_here, reads, due.isoformat(), rows_read=4), "the same run, so nothing is written"
    assert publications(environment_here, stock_high_low)[0].partial == ["the archive is behind Kafka"]


def test_a_run_of_what_was_certified_is_published(environment_here: Environment) -> None:
    assert publish_read(environment_here, interval(0), (interval(0).end + LATENESS).isoformat())


@pytest.mark.parametrize("partial", ["", "the archive is behind Kafka"])
def test_a_run_of_another_topic_or_length_is_never_published(environment_here: Environment, partial: str) -> None:
    late = (interval(0).end + 9 * DAY).isoformat()
    with pytest.raises(MillraceError, match="reads topic 'ticks', and the certificate is of topic 'stock_ticks'"):
        publish_read(environment_here, interval(0), late, partial, topic="ticks")
    hour = Interval(interval(0).start, interval(0).start + HOUR)
    with pytest.raises(MillraceError, match="has an interval that ends at 2026-11-01T01:00"):
        publish_read(environment_here, hour, late, partial, interval_end=hour.end.isoformat())
    assert publications(environment_here, stock_high_low) == []


def test_what_was_read_of_another_topic_is_not_repaired_from_this_one(environment_here: Environment) -> None:
    """A run now would put rows without that topic's events in place of what is served."""
    archive(environment_here, *[interval(0).start] * 4)
    assert publish_read(environment_here, interval(0), (interval(0).end + LATENESS).isoformat())
    until, ever = interval(0).end + DAY, timedelta(days=1000)
    assert overdue(environment_here, look_back(environment_here, stock_high_low), until, ever)[0] == {interval(0): 1}
    moved = replace(stock_high_low, topic=replace(stock_high_low.topic, name="ticks_of_a_new_name"))
    assert overdue(environment_here, look_back(environment_here, moved), until, ever) == ({}, {})

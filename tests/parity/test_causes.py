"""Every difference between the layers has the cause that it really has."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.interval import Interval
from jobs.layers import interval_rows
from jobs.redecode import redecode
from tests.oracle.arrivals import Arrival
from tests.parity.layer_runs import LayerRuns

pytestmark = [pytest.mark.long, pytest.mark.stack]

DAY = timedelta(days=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def tick(minutes: float, price: int = 1, day: int = 0) -> Arrival:
    moment = NOON + timedelta(minutes=minutes, days=day)
    text = f'{{"symbol":"A","event_time":"{moment.isoformat()}","price":{price},"volume":1}}'
    return Arrival(text.encode(), moment, 0)


def causes(result: dict[str, Any]) -> dict[str, str]:
    """The minutes that differ, each with its cause."""
    return {found["key"]["window_start"][11:16]: found["cause"] for found in result["parity"]["differences"]}


def test_late_events_are_told_by_the_watermark_in_force_also_after_a_kill(new_run: Callable[[], LayerRuns]) -> None:
    """The first driver's journal is lost with it; what it read, and under which watermark, is in the checkpoint."""
    run = new_run()
    run.stream([[tick(0)], [tick(10)], [tick(0.5), tick(7.5), tick(9)]], journaled=False)
    run.stream([[tick(20)], [tick(17), tick(19)]])
    (result,) = run.reprocess([NOON], run.archive())
    # Watermarks: 12:08 when 12:00:30 (late), 12:07:30 (late: its window ended at 12:08) and 12:09 came; then 12:18.
    assert causes(result) == {"12:00": "late", "12:07": "late", "12:17": "late"}
    assert result["parity"]["causes"] == {"late": 3}
    assert [(window[11:16], events) for window, events in result["late"]["windows"]] == [
        ("12:00", 1),
        ("12:07", 1),
        ("12:17", 1),
    ]


def test_what_the_stream_has_not_read_or_began_after_is_told_apart(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    run.stream([[tick(0)]])
    run.produce([tick(0.5), tick(5)])
    (result,) = run.reprocess([NOON], run.archive())
    assert causes(result) == {"12:00": "not yet read", "12:05": "not yet read"}
    assert run.reprocess([NOON], run.archive(), version="v2")[0]["parity"]["causes"] == {"other code version": 2}

    days = [Interval.of(NOON + number * DAY, DAY) for number in range(3)]
    run.publish(*days)
    run.stream([[tick(1, day=3)]], version="v2")  # from the first unpublished interval on, less a day
    (result,) = run.reprocess([NOON], run.archive(), version="v2")
    assert result["parity"]["causes"] == {"before the stream started": 2}


def test_a_dead_letter_that_was_decoded_later_is_redecoded(
    new_run: Callable[[], LayerRuns], spark: SparkSession
) -> None:
    run = new_run()
    strict = run.pipeline.topic
    long = tick(1)._replace(value=(tick(1).value or b"") + b" " * strict.max_value_bytes)
    run.stream([[tick(0), long]])
    run.archive()
    wider = dataclasses.replace(strict, max_value_bytes=2 * strict.max_value_bytes)
    assert redecode(spark, wider, run.lake, "r")["moved"] == 1
    raw_version = run.table(run.lake.raw(strict.name)).version()
    (result,) = run.reprocess([NOON], raw_version)
    assert causes(result) == {"12:01": "redecoded"}


def test_what_speed_read_beyond_the_archive_of_the_run_is_no_difference(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    run.stream([[tick(0)]])
    one = run.archive()
    run.produce([tick(0.1)])
    two = run.archive()
    run.produce([tick(0.2)])
    run.stream([])  # one micro-batch reads what the second version of the archive has, and what it has not
    parities = [run.reprocess([NOON], version)[0]["parity"] for version in (one, two, run.archive())]
    assert [parity["causes"] for parity in parities] == [{}, {"not yet read": 1}, {}]
    assert [parity["equal"] for parity in parities] == [1, 0, 1]


def test_a_speed_layer_that_decoded_what_was_redecoded_is_not_wrong(
    new_run: Callable[[], LayerRuns], spark: SparkSession
) -> None:
    """A new version of the speed layer, with the corrected decoder, counts what the archive has as a dead letter."""
    run = new_run()
    strict = run.pipeline.topic
    long = tick(1)._replace(value=(tick(1).value or b"") + b" " * strict.max_value_bytes)
    run.produce([long])
    run.archive()
    wider = dataclasses.replace(strict, max_value_bytes=2 * strict.max_value_bytes)
    run.pipeline = dataclasses.replace(run.pipeline, topic=wider)
    run.stream([[tick(10)], [tick(1)]])
    run.archive()
    assert redecode(spark, wider, run.lake, "r")["moved"] == 1
    (result,) = run.reprocess([NOON], run.table(run.lake.raw(strict.name)).version())
    assert set(result["parity"]["causes"]) <= {"late", "redecoded"}
    assert causes(result) == {"12:01": "late"}


def unsteady(rows: DataFrame) -> DataFrame:
    return rows.withColumn("volume", F.col("volume") + (F.minute("window_start") == 1).cast("long"))


def lost(rows: DataFrame) -> DataFrame:
    return rows.where(F.minute("window_start") != 1)


def invented(rows: DataFrame) -> DataFrame:
    one = rows.where(F.minute("window_start") == 1)
    return rows.unionByName(one.withColumn("window_start", F.expr("window_start + INTERVAL 1 MINUTE")))


@pytest.mark.parametrize(("changed", "minute"), [(unsteady, "12:01"), (lost, "12:01"), (invented, "12:02")])
def test_a_batch_answer_that_does_not_come_again_is_unexplained(
    new_run: Callable[[], LayerRuns],
    monkeypatch: pytest.MonkeyPatch,
    changed: Callable[[DataFrame], DataFrame],
    minute: str,
) -> None:
    """As of a transformation that answers otherwise each time, or of a write that lost or made a row: no late event of
    another key accounts for that."""
    run = new_run()
    run.stream([[tick(0), tick(1), tick(1.5)], [tick(10)], [tick(0.5)]])
    monkeypatch.setattr("jobs.reprocess.interval_rows", lambda *arguments: changed(interval_rows(*arguments)))
    (result,) = run.reprocess([NOON], run.archive())
    assert causes(result) == {minute: "unexplained", "12:00": "late"}


def test_a_wrong_answer_is_unexplained_whatever_else_is_late(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    run.stream([[tick(0), tick(1), tick(1.5)], [tick(10)], [tick(0.5)]])
    log = run.table(run.lake.speed(run.pipeline.name))
    changed = log.update(predicate="count = 2", updates={"volume": "volume + 1"})
    assert changed["num_updated_rows"] == 1
    (result,) = run.reprocess([NOON], run.archive())
    assert causes(result) == {"12:01": "unexplained", "12:00": "late"}
    assert result["parity"]["causes"] == {"unexplained": 1, "late": 1}

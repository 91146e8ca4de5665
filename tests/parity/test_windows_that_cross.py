"""Windows and sessions that cross an interval: the same in both layers, and every difference has its cause."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyspark.sql import SparkSession

from jobs.interval import Interval
from jobs.lake import Lake
from millrace.environment import Environment
from millrace.lake.explain import explain
from millrace.lake.late import late_events
from tests.oracle.arrivals import Arrival
from tests.oracle.ticks import Sent, Tick, read_tick
from tests.oracle.windowed import bursts, streamed_bursts, streamed_volumes, volumes
from tests.parity.layer_runs import VERSION, LayerRuns
from tests.parity.windowed import by_end, by_start, in_bursts

pytestmark = [pytest.mark.release, pytest.mark.stack]

DAY, MINUTE, MICRO = timedelta(days=1), timedelta(minutes=1), timedelta(microseconds=1)
MIDNIGHT = datetime(2028, 2, 29, tzinfo=UTC)  # a leap day begins
BEFORE, LEAP_DAY = Interval(MIDNIGHT - DAY, MIDNIGHT), Interval(MIDNIGHT, MIDNIGHT + DAY)


def tick(minutes: float, price: int = 1, symbol: str = "A", micros: int = 0) -> Arrival:
    """Around midnight. The first tick that a test sends makes the clock that Kafka's records are stamped with."""
    moment = MIDNIGHT + timedelta(minutes=minutes, microseconds=micros)
    time = moment.isoformat(timespec="microseconds")
    text = f'{{"symbol":"{symbol}","event_time":"{time}","price":{price},"volume":1}}'
    return Arrival(text.encode(), moment, 0)


def in_batches(batches: Sequence[Sequence[Arrival]], sent: Sequence[Sent]) -> list[list[Tick]]:
    """The ticks that Kafka holds, batch by batch as they were sent."""
    ticks = iter([found for found in map(read_tick, sent) if found])
    return [[next(ticks) for _ in batch] for batch in batches]


@pytest.mark.parametrize("pipeline", [by_start, by_end], ids=lambda each: each.name)
@settings(max_examples=2)
@given(
    minutes=st.lists(st.lists(st.integers(-44, 44), min_size=1, max_size=12), min_size=3, max_size=3),
    edges=st.permutations([0, -1, 1]),
)
def test_sliding_windows_lack_what_came_too_late_for_each_of_them(
    new_run: Callable[[], LayerRuns], pipeline: Any, minutes: list[list[int]], edges: list[int]
) -> None:
    """Ticks around midnight, in any order: much is late for some windows. Those of a batch, and so the watermark behind
    it, are on half minutes, or a microsecond before or after: each example has all three."""
    run = new_run()
    run.use(pipeline)
    batches = [
        [tick(each / 2, price=abs(each), micros=edge) for each in batch]
        for batch, edge in zip(minutes, edges, strict=True)
    ]
    sent = in_batches(batches, run.stream(batches))
    right, streamed = volumes(chain(*sent)), streamed_volumes(sent)

    results = run.reprocess([MIDNIGHT - MICRO, MIDNIGHT], run.archive())

    assert run.windowed_rows("batch") == right
    assert run.windowed_rows("speed") == streamed.rows
    for interval, result in zip((BEFORE, LEAP_DAY), results, strict=True):
        dropped = {
            start: ticks
            for start, ticks in sorted(streamed.dropped.items())
            if interval.start <= pipeline.windows.row_time(start) < interval.end
        }
        assert result["late"] == {
            "events": len(set().union(*dropped.values())),
            "windows": [[start.isoformat(), len(ticks)] for start, ticks in dropped.items()],
        }
        assert set(result["parity"]["causes"]) <= {"late"}
    differing = sum(row != streamed.rows.get(key) for key, row in right.items())
    assert sum(result["parity"]["causes"].get("late", 0) for result in results) == differing


def test_a_wrong_row_of_a_sliding_window_is_unexplained_beside_late_ones(
    spark: SparkSession, environment: Environment, lake: Lake
) -> None:
    run = LayerRuns(spark, environment, lake)
    run.use(by_start)
    # At watermark 00:04 the tick of 23:59 is late for the windows that began at 23:50 to 23:54, not for the others.
    batches = [[tick(-1), tick(3)], [tick(6)], [tick(-1, price=9)]]
    run.stream(batches)
    log = run.table(run.lake.speed(run.pipeline.name))
    start = "arrow_cast('2028-02-28T23:52:00Z', 'Timestamp(Microsecond, Some(\"UTC\"))')"
    wrong = f"_interval = '20280228T000000Z' AND window_start = {start}"
    assert log.update(predicate=wrong, updates={"volume": "volume + 1"})["num_updated_rows"] == 1
    raw_version = run.archive()
    before, after = run.reprocess([MIDNIGHT - MICRO, MIDNIGHT], raw_version)
    assert before["parity"]["causes"] == {"late": 2, "unexplained": 1}
    assert before["parity"]["differences"][0]["key"]["window_start"][11:16] == "23:52"
    assert before["rows_by_day"] == {"2028-02-28": 2, "2028-02-29": 2}
    assert (before["rows_read"], after["rows_read"]) == (4, 2)
    assert (after["parity"]["causes"], after["late"]["events"]) == ({}, 0)
    assert before["late"]["events"] == 1
    assert [(start[11:16], lacks) for start, lacks in before["late"]["windows"]] == [
        ("23:50", 1),
        ("23:52", 1),
        ("23:54", 1),
    ]

    here = replace(environment, lake=lake.root)
    run.note_result(BEFORE, before, raw_version)
    dropped = late_events(here, run.pipeline, BEFORE, VERSION)
    assert dropped is not None
    assert [[start.isoformat(), lacks] for start, lacks in dropped.windows.items()] == before["late"]["windows"]
    verdicts = {
        minute: [
            record.speed
            for record in explain(
                here, run.pipeline, BEFORE, {"symbol": "A", "window_start": f"2028-02-28T{minute}"}, VERSION
            ).records
        ]
        for minute in ("23:52", "23:54", "23:56")
    }
    assert verdicts == {
        "23:52": ["should have counted", "late"],
        "23:54": ["counted", "counted", "late"],
        "23:56": ["counted", "counted", "counted"],
    }


def test_sessions_over_midnight_are_one_row_and_what_the_stream_makes_of_them_is_explained(
    spark: SparkSession, environment: Environment, lake: Lake
) -> None:
    run = LayerRuns(spark, environment, lake)
    run.use(in_bursts)
    batches = [
        # From 23:50 over midnight: each tick is just in reach of the one before. B's second one is just out of it.
        [*map(tick, (-10, -5, 0, 4, 9)), tick(-5, symbol="B"), tick(0, micros=1, symbol="B")],
        [tick(20), tick(20, symbol="C")],  # the watermark comes to 00:18: all of the first batch is closed
        # Too late for any session; not too late, but what it would have joined is closed; joins nothing.
        [tick(8, price=7), tick(13.5, price=8), tick(16, symbol="B")],
        [tick(40, symbol="D")],  # closes all but itself
    ]
    sent = in_batches(batches, run.stream(batches))
    right, closed = bursts(chain(*sent)), streamed_bursts(sent)
    began = MIDNIGHT - 10 * MINUTE
    assert right["A", began] == (MIDNIGHT + 18.5 * MINUTE, 7, "8.0000", 7)
    assert closed["A", began] == (MIDNIGHT + 14 * MINUTE, 5, "1.0000", 5)
    assert run.windowed_rows("speed") == closed
    log = run.table(run.lake.speed(run.pipeline.name))
    assert log.update(predicate="symbol = 'C'", updates={"volume": "volume + 1"})["num_updated_rows"] == 1
    raw_version = run.archive()

    before, after = run.reprocess([MIDNIGHT - MICRO, MIDNIGHT], raw_version)

    assert run.windowed_rows("batch") == right
    assert (before["parity"]["equal"], before["parity"]["causes"]) == (1, {"late": 1})
    assert before["late"] == {"events": 0, "windows": []}
    assert (after["parity"]["equal"], after["parity"]["causes"]) == (
        3,
        {"late": 1, "not yet closed": 1, "unexplained": 1},
    )
    assert after["late"] == {"events": 1, "windows": [["2028-02-29T00:08:00+00:00", 1]]}

    here = replace(environment, lake=lake.root)
    run.note_result(BEFORE, before, raw_version)
    explained = explain(here, run.pipeline, BEFORE, {"symbol": "A", "session_start": began.isoformat()}, VERSION)
    assert [record.speed for record in explained.records] == [*5 * ["counted"], "late", "in another session"]
    dropped = late_events(here, run.pipeline, LEAP_DAY, VERSION)
    assert dropped is not None
    assert dropped.windows == {MIDNIGHT + 8 * MINUTE: 1}

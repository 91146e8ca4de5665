"""Where one interval ends and the next begins, in both layers: nothing is in two intervals, nothing in none."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest

from tests.oracle.arrivals import Arrival
from tests.oracle.high_low import high_low
from tests.oracle.ticks import read_tick
from tests.parity.layer_runs import LayerRuns

pytestmark = [pytest.mark.release, pytest.mark.stack]

HOUR, MICRO = timedelta(hours=1), timedelta(microseconds=1)


def tick(moment: datetime, price: int = 1) -> Arrival:
    text = f'{{"symbol":"A","event_time":"{moment.isoformat(timespec="microseconds")}","price":{price},"volume":1}}'
    return Arrival(text.encode(), moment, 0)


def test_events_on_the_edges_of_a_leap_day_are_each_in_one_interval(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    leap_day, march = datetime(2028, 2, 29, tzinfo=UTC), datetime(2028, 3, 1, tzinfo=UTC)
    moments = [leap_day - MICRO, leap_day, march - MICRO, march]
    ticks = [found for found in map(read_tick, run.stream([list(map(tick, moments))])) if found]
    results = run.reprocess(moments, run.archive())
    assert [result["rows_read"] for result in results] == [1, 2, 1]
    assert [result["parity"]["equal"] for result in results] == [1, 2, 1]
    assert all(not result["parity"]["causes"] for result in results)
    assert run.batch_rows() == run.speed_rows() == high_low(ticks)


def test_late_events_at_an_edge_are_late_for_the_interval_that_has_them(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    run.pipeline = dataclasses.replace(run.pipeline, interval=HOUR)
    one = datetime(2026, 11, 20, 13, tzinfo=UTC)
    # The watermark stands at 13:00 exactly when the second batch is read: windows that ended by then are closed.
    run.stream([[tick(one - HOUR), tick(one + timedelta(minutes=2))], [tick(one - MICRO), tick(one)]])
    raw_version = run.archive()
    before, after = run.reprocess([one - MICRO, one], raw_version)
    assert (before["rows_read"], after["rows_read"]) == (2, 2)
    assert before["late"] == {"events": 1, "windows": [["2026-11-20T12:59:00+00:00", 1]]}
    assert before["parity"]["causes"] == {"late": 1}
    assert (after["late"]["events"], after["parity"]["equal"], after["parity"]["causes"]) == (0, 2, {})

    (empty,) = run.reprocess([one + 5 * HOUR], raw_version)
    assert (empty["rows_read"], empty["rows_written"], empty["parity"]["equal"]) == (0, 0, 0)
    assert empty["late"] == {"events": 0, "windows": []}

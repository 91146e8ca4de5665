"""Both layers give the same rows for what a careless world sends, and they are the right ones.

Real: the producer, Kafka, the speed query, the archive query, the reprocess. By another way: the answers.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given, settings

from tests.oracle.arrivals import Arrival, batches
from tests.oracle.high_low import high_low, high_low_by_duckdb
from tests.oracle.ticks import read_tick
from tests.parity.layer_runs import LayerRuns

pytestmark = pytest.mark.stack

_TICK = '{{"symbol":"A","event_time":"{}","price":{},"volume":1}}'


@settings(max_examples=3)
@given(arrivals=batches(count=3, size=60))
def test_shuffled_late_doubled_and_unreadable_records(
    new_run: Callable[[], LayerRuns], arrivals: list[list[Arrival]]
) -> None:
    run = new_run()
    sent = run.stream(arrivals)
    assert len(sent) == sum(map(len, arrivals))
    ticks = [tick for tick in map(read_tick, sent) if tick]
    right = high_low(ticks)
    assert high_low_by_duckdb(ticks) == right, "two oracles differ"

    results = run.reprocess([tick.event_time for tick in ticks], run.archive())

    assert run.speed_rows() == right
    if right:
        assert run.batch_rows() == right
    assert sum(result["rows_read"] for result in results) == len(ticks)
    assert sum(result["rows_written"] for result in results) == len(right)
    for result in results:
        parity = result["parity"]
        assert parity == {
            "equal": result["rows_written"],
            "different": 0,
            "only_batch": 0,
            "only_speed": 0,
            "causes": {},
            "differences": [],
        }


def test_what_comes_too_late_is_missing_in_speed_present_in_batch_and_counted_by_parity(
    new_run: Callable[[], LayerRuns],
) -> None:
    noon = datetime(2026, 11, 20, 12, tzinfo=UTC)

    def tick(minutes: int, price: int) -> Arrival:
        now = noon + timedelta(minutes=minutes)
        return Arrival(_TICK.format(now.isoformat(), price).encode(), now, 0)

    run = new_run()
    # The watermark is at 12:08 when the third batch is read; its first two ticks belong to windows closed by then.
    sent = run.stream([[tick(0, 1)], [tick(10, 2)], [tick(0, 9), tick(3, 8), tick(9, 7)]])
    ticks = [tick for tick in map(read_tick, sent) if tick]
    (result,) = run.reprocess([noon], run.archive())

    assert run.batch_rows() == high_low(ticks)
    assert run.speed_rows() == high_low([ticks[0], ticks[1], ticks[4]])
    parity = result["parity"]
    assert [parity[outcome] for outcome in ("equal", "different", "only_batch", "only_speed")] == [2, 1, 1, 0]
    assert parity["causes"] == {"late": 2}
    assert [(found["key"]["window_start"][11:16], found["outcome"]) for found in parity["differences"]] == [
        ("12:03", "only_batch"),
        ("12:00", "different"),
    ]
    assert result["late"] == {
        "events": 2,
        "windows": [["2026-11-20T12:00:00+00:00", 1], ["2026-11-20T12:03:00+00:00", 1]],
    }

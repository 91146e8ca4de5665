"""The transformation, by a day in the life of two stocks that was worked out by hand."""

from __future__ import annotations

from datetime import datetime, timezone
from decimal import Decimal

import pytest

from jobs.pipelines.stock_high_low.transform import high_low

pytestmark = pytest.mark.both_engines

SCHEMA = "symbol string, event_time timestamp, price decimal(18,4), volume long, _partition int, _offset long"


def at(minute, second, micro=0):
    return datetime(2026, 11, 20, 14, minute, second, micro, tzinfo=timezone.utc)


TICKS = [
    # A, 14:30: opens at 10 (least time), highest 12, lowest 9.5, closes at 11.
    ("A", at(30, 0), "10", 1, 0, 5),
    ("A", at(30, 20), "12", 2, 2, 0),
    ("A", at(30, 40), "9.5", 3, 1, 7),
    ("A", at(30, 59, 999999), "11", 4, 0, 1),
    # A, 14:31: one tick at the very start of the minute, sent twice.
    ("A", at(31, 0), "8.0001", 5, 0, 6),
    ("A", at(31, 0), "8.0001", 5, 0, 7),
    # B, 14:30: four ticks at one moment; partition and then offset decide which is first and which last.
    ("B", at(30, 30), "3", 0, 1, 2),
    ("B", at(30, 30), "1", -1, 0, 9),
    ("B", at(30, 30), "4", 0, 1, 10),
    ("B", at(30, 30), "2", 0, 0, 10),
]
EXPECTED = [
    ("A", at(30, 0), at(31, 0), "10.0000", "12.0000", "9.5000", "11.0000", 10, 4),
    ("A", at(31, 0), at(32, 0), "8.0001", "8.0001", "8.0001", "8.0001", 10, 2),
    ("B", at(30, 0), at(31, 0), "1.0000", "4.0000", "1.0000", "4.0000", -1, 4),
]


@pytest.mark.parametrize("arrival", ["in order", "reversed", "in two partitions"])
def test_high_and_low_do_not_depend_on_arrival(spark, arrival):
    rows = [(symbol, time, Decimal(price), *rest) for symbol, time, price, *rest in TICKS]
    ticks = spark.createDataFrame(rows[::-1] if arrival == "reversed" else rows, SCHEMA)
    found = high_low(ticks.repartition(2, "_offset") if arrival == "in two partitions" else ticks)
    assert sorted(map(_plain, found.collect())) == EXPECTED
    assert found.columns == ["symbol", "window_start", "window_end", "open", "high", "low", "close", "volume", "count"]


def _plain(row):
    symbol, start, end, *rest = row
    prices, counts = [str(price) for price in rest[:4]], rest[4:]
    return (symbol, start.astimezone(timezone.utc), end.astimezone(timezone.utc), *prices, *counts)


def test_no_ticks_no_rows(spark):
    assert high_low(spark.createDataFrame([], SCHEMA)).collect() == []

"""Which alerts the events of a topic make, on both engines: no Kafka here (see tests/parity/test_alerts.py)."""

from __future__ import annotations

import dataclasses
import itertools
import json
from datetime import datetime, timezone

import pytest
from hypothesis import given, settings

from jobs.alerts import alert_records
from jobs.decode import decode
from jobs.errors import UsageError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from tests.oracle.alerts import alert_of, read_alert
from tests.oracle.arrivals import batches
from tests.oracle.ticks import Sent, read_tick

pytestmark = pytest.mark.both_engines

NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
TICK = b'{"symbol":"A","event_time":"2026-11-20T12:00:00Z","price":1.5,"volume":7}'


def alerts_of(spark, sent, transform=None, key=("symbol",)):
    """Key and value of each alert that the records make."""
    declared = stock_high_low.alerts
    if transform:
        declared = dataclasses.replace(declared, transform=f"tests.jobs.alert_transforms:{transform}", key=key)
    rows = [(s.value if s.value is None else bytearray(s.value), *s[1:]) for s in sent]
    records = spark.createDataFrame(rows, "value binary, timestamp timestamp, partition int, offset long")
    found = alert_records(decode(records, stock_ticks), dataclasses.replace(stock_high_low, alerts=declared))
    return [(row["key"], row["value"]) for row in found.collect()]


@settings(max_examples=3)
@given(arrivals=batches(count=1, size=60))
def test_alerts_are_what_plain_python_makes_of_each_event(spark, arrivals):
    offsets = itertools.count()
    sent = [Sent(a.value, a.timestamp, a.partition, next(offsets)) for a in arrivals[0]]
    ticks = [tick for tick in map(read_tick, sent) if tick]
    expected = [alert_of(tick, stock_ticks.name) for tick in ticks if tick.volume >= 990]
    found = alerts_of(spark, sent)
    assert [(key.encode(), read_alert(value)) for key, value in found] == [
        (alert["symbol"].encode(), alert) for alert in expected
    ]


def test_an_event_may_make_several_alerts_and_a_key_of_several_columns_is_an_object(spark):
    found = alerts_of(spark, [Sent(TICK, NOON, 2, 5)], "twice", ("symbol", "kind"))
    place = {"_topic": "stock_ticks", "_partition": 2, "_offset": 5}
    assert [(json.loads(key), json.loads(value)) for key, value in found] == [
        ({"symbol": "A", "kind": kind}, {"kind": kind, "symbol": "A", **place}) for kind in ("price", "volume")
    ]


def test_a_window_without_an_aggregation_looks_at_one_event(spark):
    ((_, value),) = alerts_of(spark, [Sent(TICK, NOON, 2, 5)], "per_minute")
    start, end = "2026-11-20T12:00:00.000000Z", "2026-11-20T12:01:00.000000Z"
    assert json.loads(value)["minute"] == {"start": start, "end": end}


@pytest.mark.parametrize(
    ("transform", "operator"),
    [
        ("counted", "the operator Aggregate"),
        ("joined", "the operator Join"),
        ("united", "the operator Union"),
        ("ordered", "the operator Sort"),
        ("first_ones", "the operator GlobalLimit"),
        ("distinct", "the operator Deduplicate"),
        ("ranked", "the operator Window"),
        ("spread", "the operator Repartition"),
        ("called", "a function of Python"),
    ],
)
def test_what_needs_more_than_one_event_is_refused_before_it_runs(spark, transform, operator):
    with pytest.raises(UsageError) as refused:
        alerts_of(spark, [], transform)
    started = f"alerts of pipeline 'stock_high_low': tests.jobs.alert_transforms:{transform} has {operator}, which"
    assert str(refused.value).startswith(started)


def test_alerts_that_nobody_could_tell_from_doubles_are_refused(spark):
    with pytest.raises(UsageError, match=r"gives no column '_offset' \(it gives symbol, _partition\)"):
        alerts_of(spark, [], "without_offset")

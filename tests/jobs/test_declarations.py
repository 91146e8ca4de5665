"""Declarations check themselves, and say what thing, which value, which rule, and what to do."""

from __future__ import annotations

import dataclasses
from datetime import timedelta

import pytest

from jobs.alerts_topic import Alerts
from jobs.errors import DeclarationError, UsageError
from jobs.pipelines import declared_alerts, find_pipeline, pipeline_names
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topic import Field
from jobs.topics import find_topic, stock_ticks

pytestmark = pytest.mark.both_engines

MINUTE = timedelta(minutes=1)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", "Stock-HL", "name 'Stock-HL' is not lower_snake_case with single underscores; rename it"),
        ("name", "a__b", "name 'a__b' is not lower_snake_case with single underscores; rename it"),
        ("transform", "high_low", "transform 'high_low' is not package.module:function; write it so"),
        ("key", (), "key () is empty; name the columns that identify an output row"),
        ("key", "symbol", "key 'symbol' is one text, not a tuple of names; write ('symbol',)"),
        ("window", timedelta(0), "window '0:00:00' is not a positive number of whole milliseconds; change it"),
        (
            "watermark",
            -MINUTE,
            "watermark '-1 day, 23:59:00' is not a positive number of whole milliseconds; change it",
        ),
        (
            "interval",
            100 * MINUTE,
            "interval '1:40:00' neither divides a day nor is whole days; use hours that divide 24, or days",
        ),
        (
            "interval",
            timedelta(hours=36),
            "interval '1 day, 12:00:00' neither divides a day nor is whole days; use hours that divide 24, or days",
        ),
        ("interval", timedelta(seconds=0.5), "interval '0:00:00.500000' is not whole seconds; use whole seconds"),
        ("float_tolerance", 1.0, "float_tolerance 1.0 is outside [0, 1); use a relative tolerance"),
    ],
)
def test_a_pipeline_refuses(field, value, complaint):
    with pytest.raises(DeclarationError) as refused:
        dataclasses.replace(stock_high_low, **{field: value})
    name = value if field == "name" else "stock_high_low"
    assert str(refused.value) == f"pipeline {name!r}: {complaint}"


def test_an_interval_is_whole_windows_and_the_nearest_are_named():
    with pytest.raises(DeclarationError) as refused:
        dataclasses.replace(stock_high_low, window=timedelta(hours=1), interval=timedelta(minutes=90))
    assert str(refused.value) == (
        "pipeline 'stock_high_low': interval '1:30:00' is not a whole number of 1:00:00 windows; use 1:00:00 or 2:00:00"
    )


@pytest.mark.parametrize("hours", [1, 6, 8, 24, 48])
def test_an_interval_may_divide_a_day_or_be_days(hours):
    assert dataclasses.replace(stock_high_low, interval=timedelta(hours=hours)).interval == timedelta(hours=hours)


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("name", "a b", "name 'a b' is not a Kafka topic name; use letters, digits, . _ -"),
        ("format", "xml", "format 'xml' has no decoder; use one of json"),
        ("event_time", "symbol", "event_time 'symbol' is not a required timestamp field; use one of ['event_time']"),
        ("partitions", 0, "partitions 0 is below 1; use 1 or more"),
        ("max_value_bytes", 0, "max_value_bytes 0 is below 1; use 1 or more"),
        ("max_age", timedelta(0), "max_age '0:00:00' is not a positive number of seconds; change it"),
        (
            "max_ahead",
            timedelta(seconds=0.5),
            "max_ahead '0:00:00.500000' is not a positive number of seconds; change it",
        ),
        (
            "allowed_lateness",
            timedelta(seconds=-1),
            "allowed_lateness '-1 day, 23:59:59' is negative or no whole number of seconds; use zero or whole seconds",
        ),
        (
            "allowed_lateness",
            timedelta(seconds=1.5),
            "allowed_lateness '0:00:01.500000' is negative or no whole number of seconds; use zero or whole seconds",
        ),
    ],
)
def test_a_topic_refuses(field, value, complaint):
    with pytest.raises(DeclarationError) as refused:
        dataclasses.replace(stock_ticks, **{field: value})
    name = value if field == "name" else "stock_ticks"
    assert str(refused.value) == f"topic {name!r}: {complaint}"


@pytest.mark.parametrize(
    ("field", "value", "complaint"),
    [
        ("topic", "stock alerts", "topic 'stock alerts' is not a Kafka topic name; use letters, digits, . _ -"),
        ("transform", "large", "transform 'large' is not package.module:function; write it so"),
        ("key", "symbol", "key 'symbol' is one text, not a tuple of names; write ('symbol',)"),
        ("key", (), "key () is empty; name the columns that identify what an alert is about"),
        ("key", ("symbol", "_offset"), "key '_offset' is in each alert anyway; leave it out"),
        ("partitions", 0, "partitions 0 is below 1; use 1 or more"),
        (
            "retention",
            timedelta(0),
            "retention '0:00:00' is not a positive number of seconds; use whole seconds, or None to keep all",
        ),
    ],
)
def test_alerts_refuse(field, value, complaint):
    alerts = Alerts("large", "jobs.pipelines.stock_high_low.alerts:large_trades", ("symbol",))
    with pytest.raises(DeclarationError) as refused:
        dataclasses.replace(alerts, **{field: value})
    assert str(refused.value) == f"alerts {value if field == 'topic' else 'large'!r}: {complaint}"


def test_alerts_do_not_go_to_the_topic_that_they_are_made_of():
    with pytest.raises(DeclarationError, match="alerts 'stock_ticks' is the topic that the pipeline reads"):
        dataclasses.replace(stock_high_low, alerts=dataclasses.replace(stock_high_low.alerts, topic="stock_ticks"))


def test_a_pipeline_without_alerts_has_none_to_send():
    with pytest.raises(UsageError, match="pipeline 'stock_high_low' declares no alerts; add `alerts="):
        declared_alerts(dataclasses.replace(stock_high_low, alerts=None))


def test_a_topic_may_allow_no_lateness():
    assert dataclasses.replace(stock_ticks, allowed_lateness=timedelta(0)).allowed_lateness == timedelta(0)


def test_a_topic_refuses_a_field_twice_and_an_optional_event_time():
    with pytest.raises(DeclarationError, match="fields 'price' is declared twice; remove one"):
        dataclasses.replace(stock_ticks, fields=(*stock_ticks.fields, Field("price", "long")))
    with pytest.raises(DeclarationError, match="event_time 'event_time' is not a required timestamp field"):
        dataclasses.replace(stock_ticks, fields=(Field("event_time", "timestamp", required=False),))


@pytest.mark.parametrize(
    ("name", "kind", "complaint"),
    [
        ("Price", "long", "field 'Price': name 'Price' is not lower_snake_case; rename it"),
        ("price", "float", "field 'price': type 'float' is not known; use string, long, double, boolean, timestamp or"),
        ("price", "decimal(39, 2)", "field 'price': type 'decimal(39, 2)' has a precision outside 1 to 38; lower it"),
        ("price", "decimal(4, 5)", "field 'price': type 'decimal(4, 5)' has a scale above its precision; lower the"),
    ],
)
def test_a_field_refuses(name, kind, complaint):
    with pytest.raises(DeclarationError) as refused:
        Field(name, kind)
    assert str(refused.value).startswith(complaint)


def test_what_is_declared_is_found_by_name_and_what_is_not_lists_the_known():
    assert "stock_high_low" in pipeline_names()
    assert find_pipeline("stock_high_low") is stock_high_low
    assert find_topic("stock_ticks") is stock_ticks
    with pytest.raises(
        UsageError, match=r"pipeline 'stock_low' has no folder in jobs/pipelines; known: .*stock_high_low"
    ):
        find_pipeline("stock_low")
    with pytest.raises(UsageError, match=r"topic 'ticks' is not declared in jobs/topics.py; known: .*stock_ticks"):
        find_topic("ticks")

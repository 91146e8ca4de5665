"""Comparing two layers: every key of either side gets one outcome."""

from __future__ import annotations

import dataclasses

import pytest
from pyspark.sql import functions as F

from jobs.parity import LISTED, compare
from jobs.pipelines.stock_high_low.pipeline import stock_high_low

pytestmark = pytest.mark.both_engines

PIPELINE = dataclasses.replace(stock_high_low, key=("symbol", "hour"), row_time="hour")
SCHEMA = "symbol string, hour int, price decimal(18,4), ratio double, note string, _interval string"


@pytest.fixture
def outcome(spark):
    def compared(batch, speed, **options):
        frames = [spark.createDataFrame([(*row, "i") for row in rows], SCHEMA) for rows in (batch, speed)]
        return compare(*frames, PIPELINE, **options)

    return compared


def row(symbol="A", hour=1, price=None, ratio=1.0, note="x"):
    return (symbol, hour, price, ratio, note)


def counts(equal=0, different=0, only_batch=0, only_speed=0):
    return {"equal": equal, "different": different, "only_batch": only_batch, "only_speed": only_speed}


def told(outcome, batch, speed):
    return {"outcome": outcome, "cause": "unexplained", "batch": batch, "speed": speed}


def test_every_key_has_one_outcome_and_the_differing_are_listed(outcome):
    found = outcome(
        [row("A", 1), row("A", 2, note="x"), row("B", 1)],
        [row("A", 1), row("A", 2, note="y"), row("C", 1)],
    )
    values = {"price": None, "ratio": 1.0, "note": "x"}
    assert found.pop("differences") == [
        {"key": {"symbol": "B", "hour": 1}, **told("only_batch", values, None)},
        {"key": {"symbol": "C", "hour": 1}, **told("only_speed", None, values)},
        {"key": {"symbol": "A", "hour": 2}, **told("different", values, {**values, "note": "y"})},
    ]
    assert found == {**counts(equal=1, different=1, only_batch=1, only_speed=1), "causes": {"unexplained": 3}}


@pytest.mark.parametrize(
    ("ratio", "other", "equal"),
    [
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.0 + 1e-6, False),
        (1e300, 1e300 * (1 + 1e-12), True),
        (0.0, 1e-12, False),  # relative: nothing is near nothing
        (0.0, -0.0, True),
        (float("nan"), float("nan"), True),
        (float("nan"), 1.0, False),
        (float("inf"), float("inf"), True),
        (float("inf"), 1.0, False),
        (None, None, True),
        (None, 0.0, False),
    ],
)
def test_floating_point_columns_compare_within_a_relative_tolerance(outcome, ratio, other, equal):
    found = outcome([row(ratio=ratio)], [row(ratio=other)])
    assert (found["equal"], found["different"]) == ((1, 0) if equal else (0, 1))


def test_all_other_columns_compare_exactly_and_null_equals_null(outcome):
    from decimal import Decimal

    one, next_to_it = Decimal("1.0000"), Decimal("1.0001")
    assert outcome([row(price=one, note=None)], [row(price=one, note=None)])["equal"] == 1
    assert outcome([row(price=one)], [row(price=next_to_it)])["different"] == 1
    assert outcome([row(price=one)], [row(price=None)])["different"] == 1


def test_a_null_in_a_key_is_a_key_like_any_other(outcome):
    assert outcome([row(None)], [row(None)])["equal"] == 1
    found = outcome([row(None)], [row("A")])
    assert (found["only_batch"], found["only_speed"]) == (1, 1)


def test_of_many_differing_keys_the_first_are_listed(outcome):
    found = outcome([row("A", hour) for hour in range(50)], [])
    assert found["only_batch"] == 50
    assert [difference["key"]["hour"] for difference in found["differences"]] == list(range(LISTED))


def test_great_differences_come_before_small_ones(outcome):
    found = outcome(
        [row(hour=1, ratio=100.0), row(hour=2, ratio=100.0)], [row(hour=1, ratio=99.0), row(hour=2, ratio=50.0)]
    )
    assert [difference["key"]["hour"] for difference in found["differences"]] == [2, 1]


def test_what_has_a_known_cause_comes_after_what_has_none(outcome):
    def causes(differing):
        return differing.withColumn("cause", F.when(F.col("symbol") == "A", "late").otherwise("unexplained"))

    found = outcome([row("A", 1), row("B", 2)], [], find_causes=causes)
    assert found["causes"] == {"late": 1, "unexplained": 1}
    assert [difference["cause"] for difference in found["differences"]] == ["unexplained", "late"]


def test_nothing_equals_nothing(outcome):
    assert outcome([], []) == {**counts(), "causes": {}, "differences": []}


def test_a_column_that_only_another_version_has_written_so_far_is_null_in_the_speed_layer(spark):
    batch = spark.createDataFrame(
        [("A", 1, None, "i"), ("B", 1, 2, "i")], "symbol string, hour int, largest long, _i string"
    )
    speed = spark.createDataFrame([("A", 1), ("B", 1)], "symbol string, hour int")
    found = compare(batch, speed, PIPELINE)
    assert {name: found[name] for name in counts()} == counts(equal=1, different=1)

"""What two versions answer, compared: expected counts by hand, and from plain Python over many rows."""

from __future__ import annotations

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from deltalake import write_deltalake

from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.compare_versions import IntervalComparison, compare_versions
from millrace.lake.published import publish
from millrace.lake.store import LakeStore
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_speed

DAYS = [interval(number) for number in range(4)]
NAN, INFINITY = float("nan"), float("inf")


def published(environment: Environment, day: Interval, run: str, version: str) -> None:
    publish(
        environment,
        stock_high_low,
        day,
        run=run,
        version=version,
        certificate=certificate(1),
        result={"rows_read": 1},
    )


def batch(environment: Environment, day: Interval, version: str, rows: list[dict[str, Any]]) -> None:
    """Publishes a run of these rows: symbol, minute, and any values."""
    run = f"{version} {day.id}"
    times = [day.start + timedelta(minutes=row["minute"]) for row in rows]
    columns = {name: [row[name] for row in rows] for name in rows[0] if name != "minute"}
    table = pa.table(
        {**columns, "window_start": pa.array(times, pa.timestamp("us", tz="UTC"))}
        | {"_interval": [day.id] * len(rows), "_run": [run] * len(rows)}
    )
    uri = Lake(environment.lake).batch("stock_high_low")
    write_deltalake(
        uri,
        table,
        mode="append",
        partition_by=["_interval", "_run"],
        schema_mode="merge",
        storage_options=environment.delta_options(),
    )
    published(environment, day, run, version)


def counts(found: IntervalComparison) -> tuple[int, int, int, int]:
    return found.equal, found.different, found.only_a, found.only_b


def row(symbol: str, minute: int = 0, **values: Any) -> dict[str, Any]:
    return {"symbol": symbol, "minute": minute, **values}


def test_each_interval_is_answered_by_the_published_run_else_by_the_newest_speed_rows(own_lake: Environment) -> None:
    for number in (0, 1, 2):
        write_speed(own_lake, DAYS[number], batch_id=1, high=7, version="v1")
        write_speed(own_lake, DAYS[number], batch_id=2, high=1, version="v1")
    for number in (1, 2, 3):
        write_speed(own_lake, DAYS[number], batch_id=0, high=number, version="v2")
    write_batch(own_lake, DAYS[1], "abandoned", high=9)
    write_batch(own_lake, DAYS[1], "good", high=1)
    published(own_lake, DAYS[1], "good", "v1")
    found = compare_versions(own_lake, stock_high_low, "v1", "v2").intervals
    assert [(each.interval, each.layer_a, each.layer_b, counts(each)) for each in found] == [
        (DAYS[0].id, "speed", None, (0, 0, 3, 0)),
        (DAYS[1].id, "batch", "speed", (3, 0, 0, 0)),
        (DAYS[2].id, "speed", "speed", (0, 3, 0, 0)),
        (DAYS[3].id, None, "speed", (0, 0, 0, 3)),
    ]


def test_what_a_stream_has_read_only_in_part_it_does_not_answer(own_lake: Environment) -> None:
    """v2 began on the second day, and has of the first, which nobody published, what came late."""
    for number in (0, 1, 2):
        write_speed(own_lake, DAYS[number], batch_id=1, high=1, version="v1")
        write_speed(own_lake, DAYS[number], batch_id=1, high=2 if number == 0 else 1, version="v2")
    assert not compare_versions(own_lake, stock_high_low, "v1", "v2").is_equal
    began = "checkpoints/stock_high_low__speed/v2/started.json"
    LakeStore(own_lake).write_json(began, {"whole_from": DAYS[1].start.isoformat()})
    found = compare_versions(own_lake, stock_high_low, "v1", "v2")
    assert [(each.interval, each.layer_a, each.layer_b) for each in found.intervals] == [
        (DAYS[0].id, "speed", None),
        (DAYS[1].id, "speed", "speed"),
        (DAYS[2].id, "speed", "speed"),
    ]
    assert found.is_equal


def test_the_worst_keys_come_first_with_the_values_that_differ(own_lake: Environment) -> None:
    day = DAYS[0]
    old = [row("A", high=100, low=1), row("B", high=100, low=1), row("C", high=100, low=1), row("D", high=5, low=1)]
    batch(own_lake, day, "v1", old)
    new = [row("A", high=101, low=1), row("B", high=200, low=1), row("C", high=100, low=1), row("E", high=5, low=1)]
    batch(own_lake, day, "v2", new)
    (found,) = compare_versions(own_lake, stock_high_low, "v1", "v2").intervals
    assert counts(found) == (1, 2, 1, 1)
    key = {"window_start": day.start}
    assert list(found.worst) == [
        {"key": {"symbol": "D"} | key, "outcome": "only_a", "values": {"high": (5, None), "low": (1, None)}},
        {"key": {"symbol": "E"} | key, "outcome": "only_b", "values": {"high": (None, 5), "low": (None, 1)}},
        {"key": {"symbol": "B"} | key, "outcome": "different", "values": {"high": (100, 200)}},
    ]
    (longer,) = compare_versions(own_lake, stock_high_low, "v1", "v2", worst=10).intervals
    assert longer.worst[3]["key"]["symbol"] == "A"


def test_columns_that_one_version_has_no_value_in_are_told_and_not_compared(own_lake: Environment) -> None:
    batch(own_lake, DAYS[0], "v1", [row("A", high=1, bid=3.5)])
    batch(own_lake, DAYS[0], "v2", [row("A", high=1, ask=Decimal("4.5"), name="Alpha")])
    found = compare_versions(own_lake, stock_high_low, "v1", "v2")
    assert (found.columns_only_a, found.columns_only_b) == (("bid",), ("ask", "name"))
    assert [counts(each) for each in found.intervals] == [(1, 0, 0, 0)]
    assert not found.is_equal


def test_a_column_that_the_table_of_one_layer_lacks_is_null_there(own_lake: Environment) -> None:
    batch(
        own_lake, DAYS[0], "v1", [row("A", high=1, bid=3.5, name="a"), row("B", high=1) | {"bid": None, "name": None}]
    )
    batch(own_lake, DAYS[1], "v1", [row("A", high=1, bid=3.5, name="a")])
    batch(own_lake, DAYS[1], "v2", [row("A", high=1, bid=3.5, name="a")])
    write_speed(own_lake, DAYS[0], batch_id=0, high=1, version="v2")  # A at the minutes 0, 1 and 2, without bid
    found = compare_versions(own_lake, stock_high_low, "v1", "v2")
    assert [counts(each) for each in found.intervals] == [(0, 1, 1, 2), (1, 0, 0, 0)]


@pytest.mark.parametrize(
    ("a", "b", "equal"),
    [
        (1.0, 1.0 + 1e-12, True),
        (1.0, 1.0 + 1e-6, False),
        (-1e300, -1e300 * (1 + 1e-12), True),
        (0.0, -0.0, True),
        (0.0, 1e-300, False),
        (NAN, NAN, True),
        (NAN, 1.0, False),
        (1.0, NAN, False),
        (INFINITY, INFINITY, True),
        (INFINITY, -INFINITY, False),
        (INFINITY, 1.0, False),
        (None, None, True),
        (None, 0.0, False),
        (5, 6, False),
        (Decimal("1.0000"), Decimal("1.0001"), False),
        (Decimal("1.0001"), Decimal("1.0001"), True),
        ("x", "y", False),
        (None, "", False),
        ([1, 2], [1, 2], True),
        ([1, 2], [2, 1], False),
        ({"x": 1}, {"x": 1}, True),
        ({"x": 1}, {"x": 2}, False),
        (datetime(2026, 1, 1, 0, 0, 0, 1, tzinfo=UTC), datetime(2026, 1, 1, 0, 0, 0, 2, tzinfo=UTC), False),
        (True, False, False),
    ],
)
def test_values_compare_as_the_parity_of_the_layers_does(own_lake: Environment, a: Any, b: Any, equal: bool) -> None:
    filler = a if a is not None else b if b is not None else 1.0  # both sides have values in the column
    batch(own_lake, DAYS[0], "v1", [row("A", x=a), row("B", x=filler)])
    batch(own_lake, DAYS[0], "v2", [row("A", x=b), row("B", x=filler)])
    (found,) = compare_versions(own_lake, stock_high_low, "v1", "v2").intervals
    assert counts(found) == ((2, 0, 0, 0) if equal else (1, 1, 0, 0))
    assert [difference["key"]["symbol"] for difference in found.worst] == ([] if equal else ["A"])


def test_null_is_a_key_as_any_other(own_lake: Environment) -> None:
    for version, high in (("v1", 1), ("v2", 2)):
        batch(own_lake, DAYS[0], version, [row("A", high=1), {**row("A", high=high), "symbol": None}])
    (found,) = compare_versions(own_lake, stock_high_low, "v1", "v2").intervals
    assert counts(found) == (1, 1, 0, 0)
    assert found.worst[0]["key"]["symbol"] is None


def test_many_rows_are_counted_as_plain_python_counts_them(own_lake: Environment) -> None:
    dice = random.Random(7)
    sides: list[dict[tuple[str, int], int]] = [{}, {}]
    for symbol in "ABCDEFGH":
        for minute in range(200):
            for side in sides:
                if dice.random() < 0.9:
                    side[(symbol, minute)] = dice.choice((1, 1, 1, 2))
    for version, side in zip(("v1", "v2"), sides, strict=True):
        batch(own_lake, DAYS[0], version, [row(symbol, minute, x=x) for (symbol, minute), x in side.items()])
    old, new = sides
    both = old.keys() & new.keys()
    equal = sum(old[key] == new[key] for key in both)
    (found,) = compare_versions(own_lake, stock_high_low, "v1", "v2").intervals
    assert counts(found) == (equal, len(both) - equal, len(old.keys() - new.keys()), len(new.keys() - old.keys()))


def test_bounds_choose_intervals_by_their_start(own_lake: Environment) -> None:
    for day in DAYS:
        for version in ("v1", "v2"):
            batch(own_lake, day, version, [row("A", high=1)])
    found = compare_versions(own_lake, stock_high_low, "v1", "v2", start=DAYS[1].start, end=DAYS[3].start)
    assert [each.interval for each in found.intervals] == [DAYS[1].id, DAYS[2].id]
    assert found.is_equal


def test_an_interval_published_without_rows_is_answered_with_none(own_lake: Environment) -> None:
    batch(own_lake, DAYS[0], "v1", [row("A", high=1)])
    published(own_lake, DAYS[0], "empty", "v2")
    (found,) = compare_versions(own_lake, stock_high_low, "v1", "v2").intervals
    assert (found.layer_a, found.layer_b, counts(found)) == ("batch", "batch", (0, 0, 1, 0))


def test_a_version_that_left_nothing_answers_nothing(own_lake: Environment) -> None:
    assert compare_versions(own_lake, stock_high_low, "v1", "v2").intervals == ()
    batch(own_lake, DAYS[0], "v1", [row("A", high=1)])
    (found,) = compare_versions(own_lake, stock_high_low, "v1", "v2").intervals
    assert (found.layer_a, found.layer_b, counts(found)) == ("batch", None, (0, 0, 1, 0))


def test_versions_of_another_key_are_refused(own_lake: Environment) -> None:
    batch(own_lake, DAYS[0], "v1", [row("A", high=1, venue="X")])
    batch(own_lake, DAYS[0], "v2", [row("A", high=1)])
    keyed = replace(stock_high_low, key=("symbol", "window_start", "venue"))
    with pytest.raises(UsageError, match="version v2 has no values in key column 'venue'"):
        compare_versions(own_lake, keyed, "v1", "v2")

"""The picture at the end: what it shows, and when it says that something does not hold."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest
from rich.console import Console

from jobs.interval import Interval
from millrace.demo.picture import Picture, problems
from millrace.demo.render import render, verdict

DAY = Interval(datetime(2026, 11, 16, tzinfo=UTC), datetime(2026, 11, 17, tzinfo=UTC))
TODAY = Interval(datetime(2026, 11, 21, tzinfo=UTC), datetime(2026, 11, 22, tzinfo=UTC))
PRICE = pa.decimal128(18, 4)
SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        *((f"window_{end}", pa.timestamp("us", tz="UTC")) for end in ("start", "end")),
        *((name, PRICE) for name in ("open", "high", "low", "close")),
        *((name, pa.int64()) for name in ("volume", "count")),
        ("_interval", pa.string()),
        ("_layer", pa.string()),
    ]
)


def row(interval: Interval, minute: int, prices: str, layer: str) -> dict[str, Any]:
    start = interval.start + timedelta(minutes=minute)
    named = dict(zip(("open", "high", "low", "close"), map(Decimal, prices.split()), strict=True))
    window = {"window_start": start, "window_end": start + timedelta(minutes=1)}
    return {"symbol": "AAPL", **window, **named, "volume": 600, "count": 2, "_interval": interval.id, "_layer": layer}


def entry(interval: Interval, layer: str, rows: int, equal: int | None, **differences: int) -> dict[str, Any]:
    none = None if equal is None else 0
    parity = {"equal": equal, "different": none, "only_batch": none, "only_speed": none}
    published = datetime(2026, 11, 21, 9, 30, 15, tzinfo=UTC) if layer == "batch" else None
    shown = {
        "interval": interval.id,
        "layer": layer,
        "rows": rows,
        "run": "r",
        "published_at": published,
        "partial": False,
    }
    return shown | parity | differences


@pytest.fixture
def picture() -> Picture:
    rows = [
        row(DAY, 5, "10.0000 12.5000 9.0000 11.0000", "batch"),
        row(DAY, 9, "11.0000 11.5000 8.2500 8.5000", "batch"),
        row(TODAY, 1, "20.0000 21.0000 19.0000 20.5000", "speed"),
    ]
    served = [entry(DAY, "batch", 2, 2), entry(TODAY, "speed", 1, None)]
    return Picture(pa.Table.from_pylist(rows, schema=SCHEMA), served, [DAY])


def shown(picture: Picture) -> list[list[str]]:
    console = Console(width=80, record=True, file=open("/dev/null", "w"))  # noqa: SIM115
    console.print(render(picture))
    return [line.split() for line in console.export_text().splitlines() if line.strip()]


def test_a_day_is_summed_up_from_its_windows(picture: Picture) -> None:
    assert ["2026-11-16", "AAPL", "10.00", "12.50", "8.2500", "8.5000", "1,200", "4", "batch"] in shown(picture)
    assert ["2026-11-21", "AAPL", "20.00", "21.00", "19.00", "20.50", "600", "2", "speed"] in shown(picture)


def test_intervals_show_their_layer_and_parity(picture: Picture) -> None:
    assert ["20261116T000000Z", "batch", "2", "2", "0", "0", "09:30:15"] in shown(picture)
    assert ["20261121T000000Z", "speed", "1"] in shown(picture)


def test_it_holds_when_the_layers_agree_on_every_backfilled_row(picture: Picture) -> None:
    assert problems(picture) == []
    assert verdict(picture).plain == "batch and speed agree: 2 of 2 rows of 1 backfilled days are equal"


@pytest.mark.parametrize(
    ("changed", "problem"),
    [
        (entry(DAY, "batch", 2, 1, different=1), "batch and speed disagree on rows: {'different': 1}"),
        (entry(DAY, "batch", 2, 2, only_speed=3), "batch and speed disagree on rows: {'only_speed': 3}"),
        (entry(DAY, "batch", 0, 0), "has no rows that both layers agree on"),
        (entry(DAY, "batch", 2, None), "has no rows that both layers agree on"),
        (entry(DAY, "speed", 2, None), "is not served by the batch layer"),
    ],
)
def test_what_does_not_hold_is_named(picture: Picture, changed: dict[str, Any], problem: str) -> None:
    broken = replace(picture, served=[changed, picture.served[1]])
    assert [found for found in problems(broken) if problem in found]
    assert problem in verdict(broken).plain


def test_that_nothing_was_compared_is_no_agreement(picture: Picture) -> None:
    """A demonstration that backfilled no interval at all."""
    (problem,) = problems(replace(picture, backfilled=[]))
    assert "no interval was backfilled" in problem
    assert problem in verdict(replace(picture, backfilled=[])).plain


def test_an_unpublished_interval_and_missing_speed_rows_do_not_hold(picture: Picture) -> None:
    assert problems(Picture(pa.table({}), [], [DAY])) == [
        "interval 20261116T000000Z is not served by the batch layer",
        "the speed layer serves no rows",
    ]
    assert shown(Picture(pa.table({}), [], [DAY])), "an empty picture can be shown"

"""The picture at the end, for people."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

import pyarrow.compute as pc
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from millrace.cli.shared import plain_table
from millrace.demo.picture import Picture, problems

__all__ = ["render", "verdict"]

_SYMBOLS = 2
_LATEST = 6
_LARGE = 10
_PRICES = "open high low close volume ticks"
_COUNTS = "rows equal differ one-sided"


def render(picture: Picture) -> RenderableType:
    """Highs and lows by day, the latest live minutes, who serves which interval, and whether the layers agree."""
    parts: list[RenderableType] = [Text()]
    if picture.rows.num_rows:
        parts += [_days(picture), _latest(picture)]
    return Group(*parts, _intervals(picture), verdict(picture))


def verdict(picture: Picture) -> Text:
    """One line: whether batch and speed agree."""
    if found := problems(picture):
        return Text("does not hold: " + "; ".join(found), "bold red")
    return Text(
        f"batch and speed agree: {picture.equal:,} of {picture.equal + picture.disagreeing:,} rows of "
        f"{len(picture.backfilled)} backfilled days are equal",
        "bold green",
    )


def _days(picture: Picture) -> Table:
    """By day and symbol, from the view's one-minute rows; a few symbols only."""
    table = _table(
        "Highs and lows by day, from the serving view", "day symbol", "open high low close volume ticks", "layer"
    )
    for row in _day_rows(picture.rows.to_pylist()):
        table.add_row(*row)
    return table


def _day_rows(rows: list[dict[str, Any]]) -> Iterator[tuple[str, ...]]:
    """A few symbols of each day, as text."""
    days: dict[date, dict[str, list[dict[str, Any]]]] = defaultdict(lambda: defaultdict(list))
    for row in sorted(rows, key=lambda row: row["window_start"]):
        days[row["window_start"].date()][row["symbol"]].append(row)
    shown = [(day, symbol) for day in sorted(days) for symbol in sorted(days[day])[:_SYMBOLS]]
    for day, symbol in shown:
        windows = days[day][symbol]
        prices = (
            windows[0]["open"],
            max(window["high"] for window in windows),
            min(window["low"] for window in windows),
            windows[-1]["close"],
        )
        totals = (sum(window["volume"] for window in windows), sum(window["count"] for window in windows))
        layers = "+".join(sorted({window["_layer"] for window in windows}))
        yield (str(day), symbol, *map(_price, prices), *(f"{total:,}" for total in totals), layers)


def _latest(picture: Picture) -> Table:
    live = picture.rows.filter(pc.equal(picture.rows["_layer"], "speed"))
    order = [("window_start", "descending"), ("symbol", "ascending")]
    table = _table("The latest minutes", "minute symbol", _PRICES, "layer")
    for row in live.sort_by(order).slice(0, _LATEST).to_pylist():
        prices = (_price(row[name]) for name in ("open", "high", "low", "close"))
        totals = (f"{row[name]:,}" for name in ("volume", "count"))
        table.add_row(f"{row['window_start']:%m-%d %H:%M}", row["symbol"], *prices, *totals, row["_layer"])
    return table


def _intervals(picture: Picture) -> Table:
    table = _table("Which layer serves an interval, and how its rows compared", "interval layer", _COUNTS, "published")
    for entry in picture.served:
        one_sided = None if entry["equal"] is None else entry["only_batch"] + entry["only_speed"]
        counts = (entry["rows"], entry["equal"], entry["different"], one_sided)
        published = entry["published_at"]
        when = published.strftime("%H:%M:%S") if published else ""
        layer = f"{entry['layer']}, partial" if entry["partial"] else entry["layer"]
        table.add_row(entry["interval"], layer, *("" if n is None else f"{n:,}" for n in counts), when)
    return table


def _table(title: str, texts: str, numbers: str, last: str) -> Table:
    """Columns of text, of numbers, and one more of text; each list with blanks between, 80 characters in all."""
    table = plain_table(title)
    for name in texts.split():
        table.add_column(name, no_wrap=True)
    for name in numbers.split():
        table.add_column(name, justify="right", no_wrap=True)
    table.add_column(last, no_wrap=True)
    return table


def _price(price: Decimal) -> str:
    """Rates of currencies are small, and their last decimals count."""
    return f"{price:.2f}" if price >= _LARGE else f"{price:.4f}"

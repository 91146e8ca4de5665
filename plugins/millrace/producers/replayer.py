"""Real data from a CSV or Parquet file, as records with their own event times."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from millrace.producers import columns
from millrace.producers.record import REPLAYED, Record
from millrace.producers.table import Table, UnreadableFileError, read_table
from millrace.producers.tick import FIELDS, tick_encoder

T = TypeVar("T")


@dataclass(frozen=True)
class Source:
    """A file, and how its columns become a tick.

    `columns` maps fields (symbol, event_time, price, volume) to the file's column names; a field that is not named
    is looked for under its own name. `constants` gives a field one value for the whole file.
    """

    path: Path
    columns: Mapping[str, str] = field(default_factory=dict)
    constants: Mapping[str, str] = field(default_factory=dict)
    time_zone: str | None = None
    """IANA name, for times without an offset."""
    time_unit: str | None = None
    """`s`, `ms` or `us`: times are numbers since the epoch."""
    time_format: str | None = None
    """As for `datetime.strptime`, for times that are not ISO 8601: `%m/%d/%Y %H:%M`."""
    round_prices: bool = False
    """Allow prices with more than four decimals, and round them half to even."""

    def __post_init__(self) -> None:
        for name in (*self.columns, *self.constants):
            if name not in FIELDS:
                raise UnreadableFileError(f"field is {name!r}; a tick has {', '.join(FIELDS)}; map one of these")
        if both := sorted(self.columns.keys() & self.constants.keys()):
            raise UnreadableFileError(f"field {both[0]!r} has a column and a constant; one is enough; leave one out")
        if self.time_unit and self.time_format:
            raise UnreadableFileError("time unit and time format are given; a time is a number or text; leave one out")
        if self.time_unit is not None and self.time_unit not in columns.UNITS:
            raise UnreadableFileError(
                f"time unit is {self.time_unit!r}; known are {', '.join(columns.UNITS)}; use one of them"
            )
        self.zone()

    def zone(self) -> ZoneInfo | None:
        """The zone of times without an offset, if one is given."""
        try:
            return ZoneInfo(self.time_zone) if self.time_zone else None
        except (ZoneInfoNotFoundError, ValueError):
            raise UnreadableFileError(
                f"time zone is {self.time_zone!r}; an IANA name is needed; use for example America/New_York"
            ) from None


def replay(source: Source) -> Iterator[Record]:
    """The file's records in event-time order (rows of one time in file order); Kafka timestamp = event time.

    The whole file is read and checked at once, before the first record. Raises `UnreadableFileError`.
    """
    table = read_table(source.path)
    zone = source.zone()

    def instant(cell: object) -> int:
        return columns.instant(cell, zone, source.time_unit, source.time_format)

    symbols = _read(source, table, "symbol", columns.text)
    times = _read(source, table, "event_time", instant)
    prices = _read(source, table, "price", lambda cell: columns.price(cell, source.round_prices))
    volumes = _read(source, table, "volume", columns.volume)
    encoders = {symbol: tick_encoder(symbol) for symbol in set(symbols)}

    def record(row: int) -> Record:
        symbol, time = symbols[row], times[row]
        return Record(symbol.encode(), encoders[symbol](time, prices[row], volumes[row]), time // 1000, kind=REPLAYED)

    return map(record, sorted(range(len(times)), key=times.__getitem__))


def _read(source: Source, table: Table, name: str, rule: Callable[[object], T]) -> list[T]:
    """A field of every row, by its rule."""
    if name in source.constants:
        value = _value(f"--set {name}", source.constants[name], rule)
        return [value] * len(table.places)
    column = _column(source, table, name)
    cells = zip(table.places, table.columns[column], strict=True)
    return [_value(f"{source.path}, {place}, column {column!r}", cell, rule) for place, cell in cells]


def _value(where: str, cell: object, rule: Callable[[object], T]) -> T:
    try:
        return rule(cell)
    except columns.RefusedError as refused:
        raise UnreadableFileError(f"{where}: found {cell!r}; {refused}") from None


def _column(source: Source, table: Table, name: str) -> str:
    """The file's name for a field of a tick."""
    column = source.columns.get(name, name)
    if column not in table.columns:
        option = "--time-column NAME" if name == "event_time" else f"--map {name}=NAME"
        raise UnreadableFileError(
            f"{source.path}: no column {column!r} for the field {name!r}; the file has {', '.join(table.columns)}; "
            f"name the right one with {option}, or give one value for all rows with --set {name}=VALUE"
        )
    return column

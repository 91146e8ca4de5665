"""`stock_high_low` once more: in plain Python, and in DuckDB's SQL."""

from __future__ import annotations

from datetime import datetime, timedelta
from decimal import Decimal
from typing import Dict, Iterable, List, NamedTuple, Tuple

from tests.oracle.ticks import Tick

__all__ = ["HighLow", "Key", "high_low", "high_low_by_duckdb"]

MINUTE = timedelta(minutes=1)


class HighLow(NamedTuple):
    window_end: datetime
    open: Decimal
    high: Decimal
    low: Decimal
    close: Decimal
    volume: int
    count: int


Key = Tuple[str, datetime]


def high_low(ticks: Iterable[Tick]) -> Dict[Key, HighLow]:
    """By symbol and start of the minute. The order within a minute: event time, partition, offset."""
    groups: Dict[Key, List[Tick]] = {}
    for tick in sorted(ticks, key=lambda tick: (tick.event_time, tick.partition, tick.offset)):
        minute = tick.event_time.replace(second=0, microsecond=0)
        groups.setdefault((tick.symbol, minute), []).append(tick)
    return {key: _summary(key[1], group) for key, group in groups.items()}


def _summary(minute: datetime, ticks: List[Tick]) -> HighLow:
    prices = [tick.price for tick in ticks]
    volume = sum(tick.volume for tick in ticks)
    return HighLow(minute + MINUTE, prices[0], max(prices), min(prices), prices[-1], volume, len(ticks))


def high_low_by_duckdb(ticks: Iterable[Tick]) -> Dict[Key, HighLow]:
    """The same by SQL. Needs Python 3.11's tools."""
    import duckdb
    import pyarrow as pa

    columns = zip(*ticks)
    types = (pa.string(), pa.timestamp("us"), pa.decimal128(18, 4), pa.int64(), pa.int64(), pa.int64())
    arrays = [pa.array([_naive(value) for value in column], kind) for column, kind in zip(columns, types)]
    if not arrays:
        return {}
    ticks_table = pa.table(dict(zip(Tick._fields, arrays)))
    rows = duckdb.connect().register("ticks", ticks_table).execute(_SQL).fetchall()
    return {(symbol, _aware(start)): HighLow(_aware(end), *rest) for symbol, start, end, *rest in rows}


_SQL = """
    SELECT symbol, date_trunc('minute', event_time) AS minute, minute + INTERVAL 1 MINUTE,
           list(price ORDER BY event_time, "partition", "offset")[1], max(price), min(price),
           list(price ORDER BY event_time, "partition", "offset")[-1], sum(volume)::HUGEINT, count(*)
    FROM ticks GROUP BY ALL
"""


def _naive(value: object) -> object:
    return value.replace(tzinfo=None) if isinstance(value, datetime) else value


def _aware(value: datetime) -> datetime:
    from datetime import timezone

    return value.replace(tzinfo=timezone.utc)

"""How many events of each interval are in a raw archive now: from the Delta log's statistics wherever they suffice."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING

from jobs.interval import Interval
from millrace.lake.tables import binned, query

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["count_events"]

_DAY = timedelta(days=1)
_VECTORS = "deletionVectors"


def count_events(table: DeltaTable, event_time: str, read: Mapping[Interval, int]) -> dict[Interval, int]:
    """Per interval of `read`, the events in `table` whose `event_time` lies in it: `[start, end)`, exact.

    `read` says how many events a run found in each. Events are only ever added, so where neighbours that fill whole
    days have not more events together than were read, none of them has. Only the days of the others are scanned, for
    one column: what it costs grows with what is new, not with the archive.
    """
    by_day = _by_day(table)
    counted: dict[Interval, int] = {}
    for span in _spans(read):
        counted |= _from_statistics(span, read, by_day)
    return counted | _scanned(table, event_time, set(read) - set(counted))


def _from_statistics(
    span: list[Interval], read: Mapping[Interval, int], by_day: Mapping[date, int | None]
) -> dict[Interval, int]:
    """The counts of the span's intervals, or nothing where statistics cannot tell them."""
    start, end = span[0].start, span[-1].end
    counts = [by_day.get(day, 0) for day in _days(start, end)]
    known = [count for count in counts if count is not None]
    if not _is_midnight(start) or not _is_midnight(end) or len(known) < len(counts):
        return {}
    if len(span) == 1:
        return {span[0]: sum(known)}
    settled = sum(known) == sum(read[interval] for interval in span)
    return {interval: read[interval] for interval in span} if settled else {}


def _spans(intervals: Iterable[Interval]) -> Iterator[list[Interval]]:
    """The shortest sequences without a gap that begin and end at midnight; an interval in none of them comes alone."""
    span: list[Interval] = []
    for interval in sorted(intervals):
        if span and span[-1].end != interval.start:
            yield from ([each] for each in span)
            span = []
        span.append(interval)
        if _is_midnight(interval.end):
            yield from [span] if _is_midnight(span[0].start) else ([each] for each in span)
            span = []
    yield from ([each] for each in span)


def _by_day(table: DeltaTable) -> dict[date, int | None]:
    """Rows per `event_date`, from the log alone; None for a day of which it does not say.

    A file's number of records counts rows that a deletion vector hides: a table that may have some has no counts here.
    """
    import pyarrow as pa

    files = pa.table(table.get_add_actions(flatten=True))
    is_exact = _VECTORS not in (table.protocol().reader_features or ())
    by_day: dict[date, int | None] = defaultdict(int)
    if not files.num_rows:
        return by_day
    days, records = files["partition.event_date"].to_pylist(), files["num_records"].to_pylist()
    for day, found in zip(days, records, strict=True):
        before = by_day[day]
        by_day[day] = before + found if is_exact and before is not None and found is not None else None
    return by_day


def _scanned(table: DeltaTable, event_time: str, intervals: Iterable[Interval]) -> dict[Interval, int]:
    """The counts by a query of the intervals' days, one for each length of interval."""
    by_length: dict[timedelta, list[Interval]] = defaultdict(list)
    for interval in intervals:
        by_length[interval.end - interval.start].append(interval)
    counted: dict[Interval, int] = {}
    for length, same in by_length.items():
        starts = _query(table, event_time, length, {day for each in same for day in _days(each.start, each.end)})
        counted |= {interval: starts.get(interval.start, 0) for interval in same}
    return counted


def _query(table: DeltaTable, event_time: str, length: timedelta, days: set[date]) -> dict[datetime, int]:
    """Events of these days by the start of their interval."""
    wanted = ", ".join(f"DATE '{day}'" for day in sorted(days))
    sql = f"SELECT {binned(event_time, length)} AS start, count(*) AS found FROM rows"
    found = query(table, f"{sql} WHERE event_date IN ({wanted}) GROUP BY 1")
    return {row["start"]: row["found"] for row in found}


def _days(start: datetime, end: datetime) -> list[date]:
    """The days that `[start, end)` touches."""
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    return [first + number * _DAY for number in range((last - first).days + 1)]


def _is_midnight(moment: datetime) -> bool:
    return moment.time() == time()

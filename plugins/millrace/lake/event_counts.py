"""How many events of each interval are in a raw archive now: from the Delta log's statistics wherever they suffice.

An interval here is any span of event time whose start and end are whole milliseconds: they may overlap.
"""

from __future__ import annotations

from bisect import bisect_left
from collections import defaultdict
from collections.abc import Collection, Iterable, Iterator, Mapping
from datetime import date, datetime, time, timedelta
from itertools import accumulate
from math import gcd
from typing import TYPE_CHECKING

from jobs.interval import EPOCH, Interval
from millrace.lake.tables import binned, query

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["count_events", "step_of"]

_DAY = timedelta(days=1)
_MILLISECOND = timedelta(milliseconds=1)
_VECTORS = "deletionVectors"


def count_events(
    table: DeltaTable, event_time: str, read: Mapping[Interval, int], days: Mapping[Interval, Mapping[str, int]]
) -> dict[Interval, int]:
    """Per interval of `read`, the events in `table` whose `event_time` lies in it: `[start, end)`, exact.

    `days`: of an interval, where the run said so, how many rows the archive had of each day (ISO date) that it touches.
    Where that is what it has now, there are as many events as were read.

    `read` says how many events a run found in each. Events are only ever added, so where neighbours that fill whole
    days have not more events together than were read, none of them has. Only the days of the others are scanned, for
    one column: what it costs grows with what is new, not with the archive. Where an archive has lost events of a day,
    which its ledger calls `missing`, as many new ones in other intervals of that day may pass for them.
    """
    by_day = _by_day(table)
    counted = {each: read[each] for each in read if _is_unchanged(each, days.get(each) or {}, by_day)}
    for span in _spans(set(read) - set(counted)):
        counted |= _from_statistics(span, read, by_day)
    return counted | _scanned(table, event_time, set(read) - set(counted))


def _is_unchanged(interval: Interval, then: Mapping[str, int], by_day: Mapping[date, int | None]) -> bool:
    """Whether the days of the interval have the rows that they had then; not where that is not known."""
    touched = _days(interval.start, interval.end)
    return bool(then) and all(by_day.get(day, 0) == then.get(day.isoformat(), 0) for day in touched)


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


def _scanned(table: DeltaTable, event_time: str, intervals: Collection[Interval]) -> dict[Interval, int]:
    """The counts by a query of the intervals' days."""
    if not intervals:
        return {}
    days = {day for each in intervals for day in _days(each.start, each.end)}
    found = _query(table, event_time, step_of(intervals), days)
    starts = sorted(found)
    before = [0, *accumulate(found[start] for start in starts)]  # how many events lie before each step
    return {each: before[bisect_left(starts, each.end)] - before[bisect_left(starts, each.start)] for each in intervals}


def step_of(intervals: Iterable[Interval]) -> timedelta:
    """The longest step since 1970-01-01 UTC of which all starts and ends are multiples."""
    edges = [(edge - EPOCH) // _MILLISECOND for each in intervals for edge in (each.start, each.end)]
    return gcd(*edges) * _MILLISECOND


def _query(table: DeltaTable, event_time: str, step: timedelta, days: set[date]) -> dict[datetime, int]:
    """Events of these days by the start of their step."""
    wanted = ", ".join(f"DATE '{day}'" for day in sorted(days))
    sql = f"SELECT {binned(event_time, step)} AS start, count(*) AS found FROM rows"
    found = query(table, f"{sql} WHERE event_date IN ({wanted}) GROUP BY 1")
    return {row["start"]: row["found"] for row in found}


def _days(start: datetime, end: datetime) -> list[date]:
    """The days that `[start, end)` touches."""
    first, last = start.date(), (end - timedelta(microseconds=1)).date()
    return [first + number * _DAY for number in range((last - first).days + 1)]


def _is_midnight(moment: datetime) -> bool:
    return moment.time() == time()

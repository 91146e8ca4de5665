"""Which events the speed layer dropped as late, as far as the archive has them, also before a reprocess."""

from __future__ import annotations

from bisect import bisect_left
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any

from jobs.interval import EPOCH, Interval
from jobs.journal import Read, Reads, speed_reads
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.event_counts import step_of
from millrace.lake.other_decoder import read_otherwise
from millrace.lake.store import LakeStore
from millrace.lake.tables import arrow, binned, open_table
from millrace.lake.text_files import TextFiles

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["LateEvents", "late_events"]

_MICROSECOND = timedelta(microseconds=1)


@dataclass(frozen=True)
class LateEvents:
    """`windows`: by start of the window, in order, how many events it lacks; those that lack none are left out.

    `events`: how many lack in any of them. Of windows that slide, one event may lack in several. `micro_batches`:
    by number, in order, how many of these events it read and dropped; those that dropped none are left out.

    `read_otherwise`: how many records of the interval's days another decoder than the version's archived. Where there
    are any, the counts are of what that made of them, and may not be exact: a run's are, for it decodes them anew.
    """

    events: int
    windows: dict[datetime, int]
    micro_batches: dict[int, int]
    read_otherwise: int = 0

    def to_json(self) -> dict[str, Any]:
        """`events` and `windows` as a run's result has them under `late`: see `jobs.late_counts`."""
        return {"events": self.events, "windows": [[start.isoformat(), n] for start, n in self.windows.items()]}


def late_events(environment: Environment, pipeline: Pipeline, interval: Interval, version: str) -> LateEvents | None:
    """What this version of the speed layer dropped as late from the interval's windows; None where it has never run.
    `pipeline`: as the version was declared.

    A run's result has the same counts under `late`, found in Spark.
    """
    events = _events(environment, pipeline, interval)
    ranges = {number: (offsets[0], offsets[-1]) for number, (offsets, _) in events.items()}
    reads = speed_reads(TextFiles(LakeStore(environment)), Lake(""), pipeline, version, ranges)
    if reads is None:
        return None
    windows: Counter[datetime] = Counter()
    batches: Counter[int] = Counter()
    for read, time in _behind(events, reads):
        if starts := list(_dropped(read, time, pipeline, interval)):
            windows.update(starts)
            batches[read.batch_id] += 1
    otherwise = read_otherwise(environment, pipeline, interval, version)
    return LateEvents(batches.total(), dict(sorted(windows.items())), dict(sorted(batches.items())), otherwise)


def _events(environment: Environment, pipeline: Pipeline, interval: Interval) -> dict[int, tuple[Any, Any]]:
    """Of what the speed layer could decode: the offsets of each partition in order, and beside them the times, in
    microseconds since 1970-01-01 UTC.

    Sixteen bytes an event and no object of Python's, for an interval may have many millions.
    """
    table = open_table(environment, Lake(environment.lake).raw(pipeline.topic.name))
    if table is None:
        return {}
    time, reads = pipeline.topic.event_time, pipeline.reads(interval)
    last_day = (reads.end - _MICROSECOND).date()
    step = binned(time, step_of([reads]))
    rows = arrow(
        {"rows": table},
        f"""SELECT "partition", "offset", event['{time}'] AS time FROM rows"""
        f" WHERE event_date BETWEEN DATE '{reads.start.date()}' AND DATE '{last_day}' AND redecoded_at IS NULL"
        f" AND {step} >= TIMESTAMP '{reads.start.isoformat()}' AND {step} < TIMESTAMP '{reads.end.isoformat()}'",
    ).sort_by("offset")
    partitions = rows["partition"].unique().to_pylist()
    return {number: _columns(rows, number) for number in partitions}


def _columns(rows: pa.Table, partition: int) -> tuple[Any, Any]:
    import pyarrow.compute as pc

    mine = rows.filter(pc.equal(rows["partition"], partition))
    return _integers(mine["offset"]), _integers(mine["time"])


def _integers(column: pa.ChunkedArray) -> Any:
    """A column of 64 bits without nulls, as a sequence of numbers over its own memory."""
    import pyarrow as pa

    whole = pa.concat_arrays(column.chunks)
    return memoryview(whole.buffers()[1]).cast("q")[whole.offset : whole.offset + len(whole)]


def _behind(events: dict[int, tuple[Any, Any]], reads: Reads) -> Iterator[tuple[Read, datetime]]:
    """The events from before the watermark that they were judged by, which alone can have been late, and who read
    each."""
    for number, (offsets, times) in events.items():
        after = 0
        for read in reads.of_partition(number):
            first = bisect_left(offsets, read.first, after)
            after = bisect_left(offsets, read.after, first)
            if read.late_watermark is not None:
                mark = (read.late_watermark - EPOCH) // _MICROSECOND
                behind = [time for time in times[first:after] if time < mark]
                yield from ((read, EPOCH + time * _MICROSECOND) for time in behind)


def _dropped(read: Read, time: datetime, pipeline: Pipeline, interval: Interval) -> Iterator[datetime]:
    """The starts of the interval's windows for which the event was late."""
    for start, end in pipeline.windows.of_event(time):
        if read.is_late(end) and interval.start <= pipeline.windows.row_time(start) < interval.end:
            yield start

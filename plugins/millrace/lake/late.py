"""Which events the speed layer dropped as late: exact, as far as the archive has them, also before a reprocess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timedelta

from jobs.interval import Interval
from jobs.journal import Reads, offset_ranges, speed_reads
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.event_counts import step_of
from millrace.lake.store import LakeStore
from millrace.lake.tables import binned, open_table, query
from millrace.lake.text_files import TextFiles

__all__ = ["LateEvents", "late_events"]

Event = tuple[int, int, datetime]


@dataclass(frozen=True)
class LateEvents:
    """`windows`: by start of the window, in order, how many events it lacks; those that lack none are left out.

    `events`: how many lack in any of them. Of windows that slide, one event may lack in several. `micro_batches`:
    by number, in order, how many of these events it read and dropped; those that dropped none are left out.
    """

    events: int
    windows: dict[datetime, int]
    micro_batches: dict[int, int]


def late_events(environment: Environment, pipeline: Pipeline, interval: Interval, version: str) -> LateEvents | None:
    """What this version of the speed layer dropped as late from the interval's windows; None where it has never run.

    A run's result has the same counts under `late`, found in Spark.
    """
    events = list(_events(environment, pipeline, interval))
    offsets = offset_ranges((partition, offset) for partition, offset, _ in events)
    reads = speed_reads(TextFiles(LakeStore(environment)), Lake(""), pipeline, version, offsets)
    if reads is None:
        return None
    dropped = [list(_dropped(event, reads, pipeline, interval)) for event in events]
    windows = Counter(start for starts in dropped for start in starts)
    lacking = [event for event, starts in zip(events, dropped, strict=True) if starts]
    batches = Counter(read.batch_id for partition, offset, _ in lacking if (read := reads.find(partition, offset)))
    return LateEvents(len(lacking), dict(sorted(windows.items())), dict(sorted(batches.items())))


def _events(environment: Environment, pipeline: Pipeline, interval: Interval) -> Iterator[Event]:
    """Partition, offset and time of what the speed layer could decode."""
    table = open_table(environment, Lake(environment.lake).raw(pipeline.topic.name))
    if table is None:
        return
    time, reads = pipeline.topic.event_time, pipeline.reads(interval)
    last_day = (reads.end - timedelta(microseconds=1)).date()
    step = binned(time, step_of([reads]))
    found = query(
        table,
        f"""SELECT "partition", "offset", event['{time}'] AS time FROM rows"""
        f" WHERE event_date BETWEEN DATE '{reads.start.date()}' AND DATE '{last_day}' AND redecoded_at IS NULL"
        f" AND {step} >= TIMESTAMP '{reads.start.isoformat()}' AND {step} < TIMESTAMP '{reads.end.isoformat()}'",
    )
    yield from ((row["partition"], row["offset"], row["time"]) for row in found)


def _dropped(event: Event, reads: Reads, pipeline: Pipeline, interval: Interval) -> Iterator[datetime]:
    """The starts of the interval's windows for which an event was late."""
    partition, offset, time = event
    read = reads.find(partition, offset)
    if read is None or read.late_watermark is None:
        return
    for start, end in pipeline.windows.of_event(time):
        if read.is_late(end) and interval.start <= pipeline.windows.row_time(start) < interval.end:
            yield start

"""Which events the speed layer dropped as late: exact, as far as the archive has them, also before a reprocess."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from datetime import datetime, timedelta

from jobs.interval import Interval
from jobs.journal import Reads, offset_ranges, speed_reads
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.store import LakeStore
from millrace.lake.tables import binned, open_table, query
from millrace.lake.text_files import TextFiles

__all__ = ["late_events"]

Event = tuple[int, int, datetime]


def late_events(
    environment: Environment, pipeline: Pipeline, interval: Interval, version: str
) -> dict[datetime, int] | None:
    """By start of the window, in order: the interval's events that this version of the speed layer dropped as late.

    Windows without any are left out; None where the version has never run. A run's result has the same counts under
    `late`, found in Spark.
    """
    events = list(_events(environment, pipeline, interval))
    offsets = offset_ranges((partition, offset) for partition, offset, _ in events)
    reads = speed_reads(TextFiles(LakeStore(environment)), Lake(""), pipeline, version, offsets)
    if reads is None:
        return None
    return dict(sorted(Counter(_late(events, reads, pipeline.window)).items()))


def _events(environment: Environment, pipeline: Pipeline, interval: Interval) -> Iterator[Event]:
    """Partition, offset and start of the window of what the speed layer could decode."""
    table = open_table(environment, Lake(environment.lake).raw(pipeline.topic.name))
    if table is None:
        return
    time, last_day = pipeline.topic.event_time, (interval.end - timedelta(microseconds=1)).date()
    found = query(
        table,
        f'SELECT "partition", "offset", {binned(time, pipeline.window)} AS start FROM rows'
        f" WHERE event_date BETWEEN DATE '{interval.start.date()}' AND DATE '{last_day}' AND redecoded_at IS NULL"
        f" AND {binned(time, interval.end - interval.start)} = TIMESTAMP '{interval.start.isoformat()}'",
    )
    yield from ((row["partition"], row["offset"], row["start"]) for row in found)


def _late(events: Iterable[Event], reads: Reads, window: timedelta) -> Iterator[datetime]:
    """The starts of the windows of late events, each as often as it has some."""
    for partition, offset, start in events:
        read = reads.find(partition, offset)
        if read is not None and read.is_late(start + window):
            yield start

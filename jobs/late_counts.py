"""How many events the speed layer dropped as late, per window of an interval."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.interval import EPOCH, Interval
from jobs.pipeline import Pipeline
from jobs.speed_reads import event_us, is_late_for, micros, over
from jobs.windows import Sessions

__all__ = ["first_end_us", "late_counts"]


def late_counts(marked: DataFrame, pipeline: Pipeline, interval: Interval) -> Dict[str, Any]:
    """`windows`: [start (ISO 8601), events dropped from it] of those of the interval that lack any, in order; `events`:
    how many events lack in at least one of them.

    `marked`: see `jobs.speed_reads.mark`. Spark drops an event from each of its windows on its own: one that slides may
    be late for some of them. The window of an event that came too late for any session is the one that it alone makes.
    """
    windows = pipeline.windows
    length, every = micros(windows.length), micros(windows.every)
    first_end = first_end_us(pipeline)
    last_end = F.least(F.col("_late_us"), first_end + (length - every))
    late = marked.where(F.col("_lacks").isNull() & is_late_for(first_end))
    dropped = late.select(
        "partition", "offset", F.explode(F.sequence(first_end, last_end, F.lit(every).cast("long"))).alias("_end")
    )
    start = F.col("_end") - length
    placed = start + micros(windows.row_time(EPOCH) - EPOCH)
    dropped = dropped.where(placed.between(micros(interval.start - EPOCH), micros(interval.end - EPOCH) - 1))
    counts = dropped.groupBy(start.alias("start")).count().orderBy("start").collect()
    once = length == every
    events = sum(row["count"] for row in counts) if once else dropped.select("partition", "offset").distinct().count()
    return {"events": events, "windows": [[_text(row["start"]), row["count"]] for row in counts]}


def first_end_us(pipeline: Pipeline) -> Column:
    """When the first of an event's windows closes, in microseconds since the epoch."""
    windows, time = pipeline.windows, event_us(pipeline)
    if isinstance(windows, Sessions):
        return time + micros(windows.gap)
    every = micros(windows.every)
    return time - over(time, every) + every


def _text(start_us: int) -> str:
    return (EPOCH + timedelta(microseconds=start_us)).isoformat()

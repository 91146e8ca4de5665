"""What the speed layer did with each event: the micro-batch that read it, and which windows were closed by then."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import Any, Iterator, Mapping, Optional, Tuple

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.journal import Reads
from jobs.pipeline import Pipeline
from jobs.verdicts import ACCEPTED_LOSS, BEFORE_STREAM, NOT_YET_READ, REDECODED, UNEXPLAINED

__all__ = ["event_us", "is_late_for", "mark", "micros", "over"]

# Offsets per bucket: makes finding an event's micro-batch an equality join.
_BUCKET = 1024
_READ = (
    "_read_partition int, _read_bucket long, _first long, _after long, _batch long, _late timestamp, _closed timestamp"
)


def mark(events: DataFrame, reads: Reads, pipeline: Pipeline) -> DataFrame:
    """Adds `_lacks`: why the speed layer's answer lacks the event whatever its window (see `jobs.verdicts`), else null.

    `events` has `event`, `partition`, `offset` and `redecoded_at`. A redecoded record was a dead letter for the
    archive; a speed layer whose decoder was corrected before may have decoded it: `_lacks_if_decoded` is the same for
    that case. An event that no micro-batch read although a later one read on behind it lies in a hole, which nothing
    explains: `_lacks_if_read` is the same for a speed layer that had read it.
    `_batch` is the micro-batch that read it. An event was late for a window that had ended by `_late_us` (see
    `is_late_for`), and found those sessions closed that had ended by `_closed_us`: microseconds, null where none had.
    """
    rows = events.sparkSession.createDataFrame(list(_buckets(reads)), _READ)
    found = (
        (F.col("partition") == F.col("_read_partition"))
        & (F.floor(F.col("offset") / _BUCKET) == F.col("_read_bucket"))
        & (F.col("offset") >= F.col("_first"))
        & (F.col("offset") < F.col("_after"))
    )
    unread = F.col("_first").isNull()
    lacks = (
        F.when(unread & _is_skipped(reads), ACCEPTED_LOSS)
        .when(unread & _is_below(reads.began), BEFORE_STREAM)
        .when(unread & _is_below(reads.ends), UNEXPLAINED)
        .when(unread, NOT_YET_READ)
    )
    redecoded = F.when(~unread & F.col("redecoded_at").isNotNull(), REDECODED)
    return events.join(rows, found, "left").select(
        *events.columns,
        F.coalesce(redecoded, lacks).alias("_lacks"),
        lacks.alias("_lacks_if_decoded"),
        F.coalesce(redecoded, F.when(lacks != UNEXPLAINED, lacks)).alias("_lacks_if_read"),
        "_batch",
        F.expr("unix_micros(_late)").alias("_late_us"),
        F.expr("unix_micros(_closed)").alias("_closed_us"),
    )


def is_late_for(window_end_us: Column) -> Column:
    """Whether the micro-batch that read an event (see `mark`) found a window that ends then (exclusive) closed."""
    return F.coalesce(window_end_us <= F.col("_late_us"), F.lit(False))


def event_us(pipeline: Pipeline) -> Column:
    """The event's time in microseconds since the epoch."""
    return F.expr(f"unix_micros(event.`{pipeline.topic.event_time}`)")


def micros(span: timedelta) -> int:
    """In whole microseconds."""
    return span // timedelta(microseconds=1)


def over(moment_us: Column, length_us: int) -> Column:
    """How long a moment is after the latest multiple of the length since the epoch. Exact, unlike a division."""
    return (moment_us % length_us + length_us) % length_us


def _is_below(ends: Mapping[int, int]) -> Any:
    """Whether an offset is below its partition's of these."""
    is_below = F.lit(False)
    for partition, end in ends.items():
        is_below = is_below | ((F.col("partition") == partition) & (F.col("offset") < end))
    return is_below


def _is_skipped(reads: Reads) -> Any:
    is_skipped = F.lit(False)
    for partition, start, end in reads.skipped:
        inside = (F.col("offset") >= start) & (F.col("offset") < end)
        is_skipped = is_skipped | ((F.col("partition") == partition) & inside)
    return is_skipped


_Bucket = Tuple[int, int, int, int, int, Optional[datetime], Optional[datetime]]


def _buckets(reads: Reads) -> Iterator[_Bucket]:
    for read in reads.reads:
        offsets = read.first, read.after, read.batch_id
        for bucket in range(read.first // _BUCKET, (read.after - 1) // _BUCKET + 1):
            yield (read.partition, bucket, *offsets, read.late_watermark, read.closed_watermark)

"""What the speed layer did with each event: the micro-batch that read it, and whether its window had closed by then."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Iterator, Optional, Tuple

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.journal import Reads
from jobs.pipeline import Pipeline
from jobs.verdicts import ACCEPTED_LOSS, BEFORE_STREAM, LATE, NOT_YET_READ, REDECODED

__all__ = ["mark"]

# Offsets per bucket: makes finding an event's micro-batch an equality join.
_BUCKET = 1024
_READ = "_read_partition int, _read_bucket long, _first long, _after long, _late_watermark timestamp"


def mark(events: DataFrame, reads: Reads, pipeline: Pipeline) -> DataFrame:
    """Adds `_lacks`: why the speed layer's answer lacks the event (see `jobs.verdicts`); null where it counted it.

    `events` has `event`, `partition`, `offset` and `redecoded_at`. An event was late when its window, of the
    pipeline's length and counted from the epoch, had ended by the watermark of the micro-batch that read it. A
    redecoded record was a dead letter for the archive; a speed layer whose decoder was corrected before may have
    decoded it: `_lacks_if_decoded` is the same for that case.
    """
    rows = events.sparkSession.createDataFrame(list(_buckets(reads)), _READ)
    found = (
        (F.col("partition") == F.col("_read_partition"))
        & (F.floor(F.col("offset") / _BUCKET) == F.col("_read_bucket"))
        & (F.col("offset") >= F.col("_first"))
        & (F.col("offset") < F.col("_after"))
    )
    joined = events.join(rows, found, "left").withColumn("_window_end_us", _window_end_us(pipeline))
    unread = F.col("_first").isNull()
    lacks = (
        F.when(unread & _is_skipped(reads), ACCEPTED_LOSS)
        .when(unread & _is_before(reads), BEFORE_STREAM)
        .when(unread, NOT_YET_READ)
        .when(F.col("_window_end_us") <= F.expr("unix_micros(_late_watermark)"), LATE)
    )
    redecoded = F.when(F.col("_first").isNotNull() & F.col("redecoded_at").isNotNull(), REDECODED)
    marked = joined.withColumn("_lacks_if_decoded", lacks).withColumn("_lacks", F.coalesce(redecoded, lacks))
    return marked.select(*events.columns, "_window_end_us", "_lacks", "_lacks_if_decoded")


def _is_before(reads: Reads) -> Any:
    is_before = F.lit(False)
    for partition, began in reads.began.items():
        is_before = is_before | ((F.col("partition") == partition) & (F.col("offset") < began))
    return is_before


def _is_skipped(reads: Reads) -> Any:
    is_skipped = F.lit(False)
    for partition, start, end in reads.skipped:
        inside = (F.col("offset") >= start) & (F.col("offset") < end)
        is_skipped = is_skipped | ((F.col("partition") == partition) & inside)
    return is_skipped


def _buckets(reads: Reads) -> Iterator[Tuple[int, int, int, int, Optional[datetime]]]:
    for read in reads.reads:
        for bucket in range(read.first // _BUCKET, (read.after - 1) // _BUCKET + 1):
            yield read.partition, bucket, read.first, read.after, read.late_watermark


def _window_end_us(pipeline: Pipeline) -> Any:
    length = int(pipeline.window.total_seconds() * 1_000_000)
    event_us = F.expr(f"unix_micros(event.`{pipeline.topic.event_time}`)")
    return (F.floor(event_us / F.lit(length)) + 1) * length

"""Which answers of the speed layer may hold events that the archive has lost: see docs/decisions/0032."""

from __future__ import annotations

from typing import List, Mapping

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.accepted_losses import accepted_losses
from jobs.interval import Interval
from jobs.journal import Read, offset_ranges, speed_reads
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.windows import Sessions

__all__ = ["lost_reads", "touched_keys"]


def lost_reads(
    files: LakeFiles, lake: Lake, pipeline: Pipeline, version: str, interval: Interval, coverage: Mapping[int, int]
) -> List[Read]:
    """What the speed layer read of accepted losses from Kafka, as far as these may belong to the interval.

    One that was fed from the archive has read nothing of what that lacks. `coverage`: see `jobs.speed_parity`.
    """
    wanted = pipeline.reads(interval)
    lost = [
        each
        for loss in accepted_losses(files, lake, pipeline.topic.name)
        for each in loss.lost
        if each.touches(wanted.start, wanted.end)
    ]
    if not lost:
        return []
    ends = [(each.partition, offset) for each in lost for offset in (each.start, each.end - 1)]
    reads = speed_reads(files, lake, pipeline, version, offset_ranges(ends), coverage)
    if reads is None:
        return []
    return [read for each in lost for read in reads.from_kafka(each.partition, each.start, each.end)]


def touched_keys(
    reads: List[Read], updates: DataFrame, batch: DataFrame, speed: DataFrame, pipeline: Pipeline
) -> DataFrame:
    """The keys whose row in `speed` lost events may have changed, where `reads` (see `lost_reads`) counted them.

    `updates`: the interval's in the log. A micro-batch writes a row of each window that it counts an event in, so a key
    without one from these micro-batches holds no lost event. A session is written when it is closed, maybe much later:
    those are untouched that were closed before the first of these micro-batches began.
    """
    windows = pipeline.windows
    if not isinstance(windows, Sessions):
        counted = sorted({read.batch_id for read in reads})
        return updates.where(F.col("_batch_id").isin(counted)).select(*pipeline.key).distinct()
    columns = [*dict.fromkeys([*pipeline.key, windows.end])]
    rows = batch.select(*columns).unionByName(speed.select(*columns))
    marks = [read.closed_watermark for read in reads]
    closed = [mark for mark in marks if mark is not None]
    if len(closed) == len(marks):
        rows = rows.where(F.col(windows.end) > F.lit(min(closed)))
    return rows.select(*pipeline.key).distinct()

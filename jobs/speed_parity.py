"""A run against what the speed layer of its version served for the interval, with the reasons for every difference."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Mapping, Tuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.accepted_losses import accepted_losses
from jobs.causes import Causes
from jobs.interval import Interval
from jobs.journal import Reads, offset_ranges, speed_reads
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.parity import compare
from jobs.pipeline import Pipeline
from jobs.speed import newest_rows
from jobs.speed_reads import mark
from jobs.tables import read_table
from jobs.verdicts import ACCEPTED_LOSS, BEFORE_STREAM, LATE, OTHER_VERSION, UNEXPLAINED

__all__ = ["speed_parity"]

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def speed_parity(
    spark: SparkSession,
    pipeline: Pipeline,
    interval: Interval,
    lake: Lake,
    version: str,
    events: DataFrame,
    offsets: Mapping[int, Tuple[int, int]],
    coverage: Mapping[int, int],
    batch: DataFrame,
) -> Dict[str, Any]:
    """`parity`: see `jobs.parity.compare`. `late`: how many of `events` the speed layer dropped, per window.

    `offsets` are the first and last of `events` in each partition, `batch` the rows of the run. The speed layer is
    taken as of `speed_batch`, its newest micro-batch that read nothing at or above the `coverage` of the run: what the
    run cannot know is no difference. All are None when there is no speed layer at all.
    """
    files = LakeFiles(spark)
    if not files.is_table(lake.speed(pipeline.name)):
        return {"parity": None, "late": None, "speed_batch": None}
    # The journal first: the log holds every micro-batch that is journaled, and those after it are left out.
    reads = speed_reads(files, lake, pipeline, version, offsets, coverage)
    log = read_table(spark, lake.speed(pipeline.name)).where(F.col("_interval") == interval.id)
    of_version = log.where(F.col("_version") == version)
    if reads is None:
        marked = _never_read(events, log.where(F.col("_version") != version), pipeline)
    else:
        marked = mark(events, reads, pipeline)
        of_version = of_version.where(F.col("_batch_id") <= reads.last_batch)
    marked = marked.cache()
    try:
        speed = newest_rows(of_version, pipeline)
        beyond = _has_lost(files, lake, pipeline, version, interval, coverage)
        causes = Causes(marked, batch, speed, pipeline, interval, ACCEPTED_LOSS if beyond else UNEXPLAINED)
        return {
            "parity": compare(batch, speed, pipeline, causes.find),
            "late": _late(marked, pipeline),
            "speed_batch": reads.last_batch if reads else None,
        }
    finally:
        marked.unpersist()


def _has_lost(
    files: LakeFiles, lake: Lake, pipeline: Pipeline, version: str, interval: Interval, coverage: Mapping[int, int]
) -> bool:
    """Whether the speed layer may have counted events of the interval that the archive has lost: nobody can derive its
    answer again then."""
    lost = [
        each
        for loss in accepted_losses(files, lake, pipeline.topic.name)
        for each in loss.lost
        if each.touches(interval.start, interval.end)
    ]
    ends = [(each.partition, offset) for each in lost for offset in (each.start, each.end - 1)]
    reads = speed_reads(files, lake, pipeline, version, offset_ranges(ends), coverage) if lost else None
    return reads is not None and any(reads.any_of(each.partition, each.start, each.end) for each in lost)


def _never_read(events: DataFrame, others: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Of a version that has never run. `others`: what other versions say of the interval."""
    kind = OTHER_VERSION if others.limit(1).count() else BEFORE_STREAM
    return mark(events, Reads([], {}, -1), pipeline).withColumns(
        dict.fromkeys(("_lacks", "_lacks_if_decoded"), F.lit(kind))
    )


def _late(marked: DataFrame, pipeline: Pipeline) -> Dict[str, Any]:
    """`events`, and `windows`: [start of the window (ISO 8601), events] of those that lack any, in order."""
    late = marked.where(F.col("_lacks") == LATE).groupBy("_window_end_us").count().orderBy("_window_end_us").collect()
    ends = [(_EPOCH + timedelta(microseconds=row["_window_end_us"]), row["count"]) for row in late]
    return {
        "events": sum(count for _, count in ends),
        "windows": [[(end - pipeline.window).isoformat(), count] for end, count in ends],
    }

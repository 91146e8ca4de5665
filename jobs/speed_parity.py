"""A run against what the speed layer of its version served for the interval, with the reasons for every difference."""

from __future__ import annotations

from typing import Any, Dict, Mapping, Optional, Tuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.causes import Causes
from jobs.derivation import Derivation, SessionDerivation, WindowDerivation
from jobs.interval import EPOCH, Interval
from jobs.journal import Reads, speed_reads
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.late_counts import late_counts
from jobs.lost_events import lost_reads, touched_keys
from jobs.parity import compare
from jobs.pipeline import Pipeline
from jobs.speed import newest_rows
from jobs.speed_reads import mark, micros
from jobs.tables import read_table
from jobs.verdicts import BEFORE_STREAM, OTHER_VERSION
from jobs.windows import Sessions

__all__ = ["speed_parity"]


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
    """`parity`: see `jobs.parity.compare`. `late`: see `jobs.late_counts.late_counts`.

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
    speed = newest_rows(of_version, pipeline)
    lost = lost_reads(files, lake, pipeline, version, interval, coverage)
    touched = touched_keys(lost, of_version, batch, speed, pipeline) if lost else None
    causes = Causes(batch, speed, pipeline, lambda keys: _derivation(marked, pipeline, interval, keys, reads), touched)
    try:
        return {
            "parity": compare(batch, speed, pipeline, causes.find),
            "late": late_counts(marked, pipeline, interval),
            "speed_batch": reads.last_batch if reads else None,
        }
    finally:
        causes.release()
        marked.unpersist()


def _derivation(
    marked: DataFrame, pipeline: Pipeline, interval: Interval, keys: DataFrame, reads: Optional[Reads]
) -> Derivation:
    if not isinstance(pipeline.windows, Sessions):
        return WindowDerivation(marked, pipeline, interval, keys)
    closed = micros(reads.closed_watermark - EPOCH) if reads and reads.closed_watermark else None
    return SessionDerivation(marked, pipeline, interval, keys, pipeline.windows, closed)


def _never_read(events: DataFrame, others: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Of a version that has never run. `others`: what other versions say of the interval."""
    kind = OTHER_VERSION if others.limit(1).count() else BEFORE_STREAM
    return mark(events, Reads([], {}, -1), pipeline).withColumns(
        dict.fromkeys(("_lacks", "_lacks_if_decoded", "_lacks_if_read"), F.lit(kind))
    )

"""The speed query: a pipeline's transformation on the stream, as an append-only log of updates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Callable

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.bootstrap import Bootstrap
from jobs.checkpoint import Checkpoint
from jobs.decode import decode
from jobs.errors import UsageError
from jobs.kafka import read_stream
from jobs.lake import Lake, speed_query, speed_stream
from jobs.lake_files import LakeFiles
from jobs.layers import interval_of, transform_events
from jobs.manifest import check_restart, refuse_headless, speed_facts, write_manifest
from jobs.pipeline import Pipeline
from jobs.progress import ProgressJournal
from jobs.starting import Start, find_start, note_start, noted_options
from jobs.tables import ensure_table, read_table
from jobs.update_log import UpdateLog

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery
    from pyspark.sql.streaming.readwriter import DataStreamWriter

__all__ = ["newest_rows", "start_speed"]

# With a commit a second, Delta's own weeks of old commits and of files that compaction replaced would be a million of
# each, which every micro-batch lists: see docs/decisions/0045.
_PROPERTIES = {
    "delta.checkpointInterval": "50",
    "delta.deletedFileRetentionDuration": "interval 1 days",
    "delta.logRetentionDuration": "interval 1 days",
}


def start_speed(
    spark: SparkSession,
    pipeline: Pipeline,
    version: str,
    lake: Lake,
    bootstrap: str,
    trigger: timedelta,
    is_stopping: Callable[[], bool] = lambda: False,
) -> StreamingQuery:
    """Starts (or resumes) the speed query of a pipeline's version.

    Where Kafka no longer holds all that a new version begins with, the raw archive is read first, which takes its time:
    see `jobs.bootstrap`. Raises StopRequestedError when `is_stopping` says so meanwhile, and UsageError when the
    version's checkpoint does not fit, or is gone while its rows are there: new rows could not be told from replayed
    ones.
    """
    files = LakeFiles(spark)
    checkpoint, uri = lake.checkpoint(speed_query(pipeline.name), version), lake.speed(pipeline.name)
    journal = ProgressJournal(files, lake, speed_stream(pipeline.name, version), Checkpoint(files, checkpoint))
    earlier = Bootstrap(spark, pipeline, lake, checkpoint, journal)
    earlier.hand_over()
    resumes = files.exists(f"{checkpoint}/metadata")
    if resumes or earlier.is_under_way:
        start = Start(noted_options(files, checkpoint))
    else:
        start = find_start(spark, pipeline, lake, version, bootstrap, f"{checkpoint}/probe")
        note_start(files, checkpoint, start)
    records = decode(read_stream(spark, pipeline.topic, bootstrap, start.options), pipeline.topic)
    log = _log(records, pipeline)
    facts = speed_facts(spark, pipeline, log)
    if resumes:
        check_restart(files, checkpoint, facts)
    else:
        _check_unused(spark, files, checkpoint, uri, version)
        write_manifest(files, checkpoint, facts)
    ensure_table(spark, log.withColumn("_version", F.lit(version)).schema, uri, ["_interval"], _PROPERTIES)

    def start_query(decoded: DataFrame) -> StreamingQuery:
        updates = UpdateLog(Checkpoint(files, checkpoint), uri, version)
        return _writer(_log(decoded, pipeline), pipeline, checkpoint, trigger).foreachBatch(updates.append).start()

    earlier.plan(start)
    if earlier.is_under_way:
        earlier.run(start_query, is_stopping)
    return start_query(records)


def _writer(log: DataFrame, pipeline: Pipeline, checkpoint: str, trigger: timedelta) -> DataStreamWriter:
    return (
        log.writeStream.queryName(speed_query(pipeline.name))
        .outputMode(pipeline.output_mode)
        .option("checkpointLocation", checkpoint)
        .trigger(processingTime=f"{int(trigger.total_seconds() * 1000)} milliseconds")
    )


def _log(decoded: DataFrame, pipeline: Pipeline) -> DataFrame:
    """The transformation's rows with the columns of the log of updates, less its version."""
    rows = transform_events(decoded, pipeline)
    return rows.withColumn("_interval", interval_of(pipeline)).withColumn("_batch_id", F.lit(0).cast("long"))


def newest_rows(log: DataFrame, pipeline: Pipeline) -> DataFrame:
    """The newest row per key of one version's log of updates, with `_interval` but without the log's other columns."""
    by_key = Window.partitionBy("_interval", *pipeline.key).orderBy(F.col("_batch_id").desc())
    columns = [name for name in log.columns if name not in ("_batch_id", "_version")]
    return log.withColumn("_newest", F.row_number().over(by_key)).where("_newest = 1").select(*columns)


def _check_unused(spark: SparkSession, files: LakeFiles, checkpoint: str, uri: str, version: str) -> None:
    refuse_headless(files, checkpoint, "raise the pipeline's `revision` to start a new version")
    if files.is_table(uri) and read_table(spark, uri).where(F.col("_version") == version).limit(1).count():
        raise UsageError(
            f"checkpoint {checkpoint} is gone, but {uri} holds rows of version {version}: a new checkpoint counts"
            " micro-batches from 0 again and its rows would be hidden by the old ones; put the checkpoint back, or"
            " raise the pipeline's revision to start a new version"
        )

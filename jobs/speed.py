"""The speed query: a pipeline's transformation on the stream, as an append-only log of updates."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Dict

from pyspark.sql import DataFrame, SparkSession, Window
from pyspark.sql import functions as F

from jobs.checkpoint import Checkpoint
from jobs.decode import decode
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.kafka import read_stream
from jobs.lake import Lake, speed_query
from jobs.lake_files import LakeFiles
from jobs.layers import interval_of, transform_events
from jobs.pipeline import Pipeline
from jobs.tables import ensure_table, read_table
from jobs.update_log import UpdateLog

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["newest_rows", "start_speed"]


def start_speed(
    spark: SparkSession, pipeline: Pipeline, version: str, lake: Lake, bootstrap: str, trigger: timedelta
) -> StreamingQuery:
    """Starts (or resumes) the speed query of a pipeline's version.

    Raises UsageError when the version's checkpoint is gone but its rows are there: new rows could not be told from
    replayed ones.
    """
    files = LakeFiles(spark)
    query = speed_query(pipeline.name)
    checkpoint = lake.checkpoint(query, version)
    uri = lake.speed(pipeline.name)
    resumes = files.exists(f"{checkpoint}/metadata")
    starting = {} if resumes else _starting(spark, files, lake, pipeline)
    records = read_stream(spark, pipeline.topic, bootstrap, starting)
    rows = transform_events(decode(records, pipeline.topic), pipeline)
    log = rows.withColumn("_interval", interval_of(pipeline)).withColumn("_batch_id", F.lit(0).cast("long"))
    if not resumes and files.is_table(uri):
        _check_unused(spark, checkpoint, uri, version)
    ensure_table(spark, log.withColumn("_version", F.lit(version)).schema, uri, ["_interval"])

    return (
        log.writeStream.queryName(query)
        .outputMode(pipeline.output_mode)
        .option("checkpointLocation", checkpoint)
        .trigger(processingTime=f"{int(trigger.total_seconds() * 1000)} milliseconds")
        .foreachBatch(UpdateLog(Checkpoint(files, checkpoint), uri, version).append)
        .start()
    )


def newest_rows(log: DataFrame, pipeline: Pipeline) -> DataFrame:
    """The newest row per key of one version's log of updates, with `_interval` but without the log's other columns."""
    by_key = Window.partitionBy("_interval", *pipeline.key).orderBy(F.col("_batch_id").desc())
    columns = [name for name in log.columns if name not in ("_batch_id", "_version")]
    return log.withColumn("_newest", F.row_number().over(by_key)).where("_newest = 1").select(*columns)


def _starting(spark: SparkSession, files: LakeFiles, lake: Lake, pipeline: Pipeline) -> Dict[str, str]:
    """Without a checkpoint, from the first unpublished interval on; from the earliest record when none is published."""
    if not files.is_table(lake.published):
        return {"startingOffsets": "earliest"}
    mine = read_table(spark, lake.published).where(F.col("pipeline") == pipeline.name)
    published = {row["_interval"] for row in mine.select("_interval").collect()}
    if not published:
        return {"startingOffsets": "earliest"}
    interval = Interval.parse(min(published), pipeline.interval)
    while interval.id in published:
        interval = interval.following()
    # An event may be this much ahead of its Kafka timestamp. Rows of earlier intervals do no harm: they are published.
    since = pipeline.reads(interval).start - pipeline.topic.max_ahead
    return {
        "startingTimestamp": str(int(since.timestamp() * 1000)),
        "startingOffsetsByTimestampStrategy": "latest",
    }


def _check_unused(spark: SparkSession, checkpoint: str, uri: str, version: str) -> None:
    if read_table(spark, uri).where(F.col("_version") == version).limit(1).count():
        raise UsageError(
            f"checkpoint {checkpoint} is gone, but {uri} holds rows of version {version}: a new checkpoint counts"
            " micro-batches from 0 again and its rows would be hidden by the old ones; put the checkpoint back, or"
            " raise the pipeline's revision to start a new version"
        )

"""The archive query: every record of a topic, as received, to the raw archive. It drops nothing."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import TYPE_CHECKING

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.decode import decode
from jobs.errors import UsageError
from jobs.kafka import read_stream
from jobs.lake import RAW_VERSION, Lake, archive_query
from jobs.lake_files import LakeFiles
from jobs.manifest import archive_facts, fit_checkpoint, refuse_headless
from jobs.tables import ensure_table, read_table
from jobs.topic import Topic
from jobs.version import decoder_fingerprint

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["event_date", "recent_days", "start_archive", "to_raw"]

_COMPACTED_FOR = timedelta(days=30)
# A run's own version of the archive is read for as long as Delta's log keeps it: by `millrace explain`.
_PROPERTIES = {"delta.deletedFileRetentionDuration": "interval 30 days"}


def to_raw(records: DataFrame, topic: Topic) -> DataFrame:
    """Kafka's records as rows of `raw/<topic>`: the bytes as received, the typed event or the reason it has none.

    `decoder` says whose reading of the bytes that is: a version with another decoder reads the bytes itself (see
    `jobs.interval_events`).
    """
    decoded = decode(records, topic)
    return decoded.select(
        "key",
        "value",
        "headers",
        "topic",
        "partition",
        "offset",
        "timestamp",
        F.col("timestampType").alias("timestamp_type"),
        F.current_timestamp().alias("archived_at"),
        "event",
        "error",
        event_date(topic).alias("event_date"),
        # Set by jobs.redecode alone.
        F.lit(None).cast("timestamp").alias("redecoded_at"),
        F.lit(decoder_fingerprint(topic)).alias("decoder"),
    )


def event_date(topic: Topic) -> Column:
    """The day (UTC) of a row's `event`: the archive's partition. Null for a dead letter."""
    return F.to_date(f"event.{topic.event_time}")


def recent_days() -> str:
    """Which partitions are worth rewriting, in SQL: the days whose files are not cool yet, and the dead letters."""
    first = datetime.now(timezone.utc).date() - _COMPACTED_FOR
    return f"event_date >= DATE '{first}' OR event_date IS NULL"


def start_archive(spark: SparkSession, topic: Topic, lake: Lake, bootstrap: str, trigger: timedelta) -> StreamingQuery:
    """Starts (or resumes) the archive query. Delta's sink writes each micro-batch once, by its checkpoint's id.

    Raises UsageError when its checkpoint does not fit (see `jobs.manifest`), or is gone while its rows are there: a new
    one would archive again whatever Kafka still holds.
    """
    records = read_stream(spark, topic, bootstrap, {"startingOffsets": "earliest"})
    rows = to_raw(records, topic)
    ensure_table(spark, rows.schema, lake.raw(topic.name), ["event_date"], _PROPERTIES)
    query = archive_query(topic.name)
    checkpoint = lake.checkpoint(query, RAW_VERSION)
    files = LakeFiles(spark)
    if not files.exists(f"{checkpoint}/metadata"):
        _check_unused(spark, files, checkpoint, lake.raw(topic.name))
    fit_checkpoint(files, checkpoint, archive_facts(topic))
    return (
        rows.writeStream.format("delta")
        .queryName(query)
        .option("checkpointLocation", checkpoint)
        .option("mergeSchema", "true")  # a field that is declared later: records must not wait for it
        .partitionBy("event_date")
        .trigger(processingTime=f"{int(trigger.total_seconds() * 1000)} milliseconds")
        .start(lake.raw(topic.name))
    )


def _check_unused(spark: SparkSession, files: LakeFiles, checkpoint: str, uri: str) -> None:
    refuse_headless(files, checkpoint, "archive a topic of another name")
    if read_table(spark, uri).limit(1).count():
        raise UsageError(
            f"checkpoint {checkpoint} is gone, but {uri} holds records: a new checkpoint begins with the earliest that"
            " Kafka holds, and they would be in the archive twice; put the checkpoint back from a copy, or archive a"
            " topic of another name"
        )

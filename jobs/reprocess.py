"""The batch layer: one interval from the raw archive, by the same transformation, as one run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict, Optional

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.layers import interval_of, transform_events
from jobs.parity import compare
from jobs.pipeline import Pipeline
from jobs.speed import newest_rows
from jobs.tables import ensure_table, read_table

__all__ = ["read_events", "reprocess"]


def reprocess(
    spark: SparkSession, pipeline: Pipeline, interval: Interval, lake: Lake, run: str, version: str, raw_version: int
) -> Dict[str, Any]:
    """Writes the interval's rows to `batch/<pipeline>` under `run` and compares them with the speed layer's.

    Publishes nothing: rows of a run are invisible until `published` names it. The same run twice writes once. Returns
    counts (`rows_read`, `dead_letters`, `rows_written`) and `parity` (None when there is no speed layer to compare).
    `dead_letters` are those whose Kafka timestamp lies in the interval.
    """
    raw = read_table(spark, lake.raw(pipeline.topic.name), raw_version)
    events = read_events(raw, pipeline, interval)
    rows = transform_events(events, pipeline).withColumn("_interval", interval_of(pipeline))
    rows = rows.where(F.col("_interval") == interval.id).withColumn("_run", F.lit(run))
    ensure_table(spark, rows.schema, lake.batch(pipeline.name), ["_interval", "_run"])
    (
        rows.write.format("delta")
        .mode("append")
        .option("txnAppId", run)
        .option("txnVersion", 0)
        .partitionBy("_interval", "_run")
        .save(lake.batch(pipeline.name))
    )
    written = read_table(spark, lake.batch(pipeline.name))
    written = written.where((F.col("_interval") == interval.id) & (F.col("_run") == run))
    return {
        "rows_read": events.count(),
        "dead_letters": _dead_letters(raw, interval),
        "rows_written": written.count(),
        "parity": _parity(spark, written, pipeline, interval, lake, version),
    }


def read_events(raw: DataFrame, pipeline: Pipeline, interval: Interval) -> DataFrame:
    """The decoded records whose event time lies in the interval: typed columns of its days alone, no JSON."""
    event_time = F.col(f"event.{pipeline.topic.event_time}")
    last_day = (interval.end - timedelta(microseconds=1)).date()
    in_days = F.col("event_date").between(F.lit(interval.start.date()), F.lit(last_day))
    inside = (event_time >= F.lit(interval.start)) & (event_time < F.lit(interval.end))
    return raw.where(in_days & inside).select("event", "partition", "offset")


def _dead_letters(raw: DataFrame, interval: Interval) -> int:
    arrived = (F.col("timestamp") >= F.lit(interval.start)) & (F.col("timestamp") < F.lit(interval.end))
    return raw.where(F.col("event_date").isNull() & arrived).count()


def _parity(
    spark: SparkSession, written: DataFrame, pipeline: Pipeline, interval: Interval, lake: Lake, version: str
) -> Optional[Dict[str, Any]]:
    uri = lake.speed(pipeline.name)
    if not LakeFiles(spark).is_table(uri):
        return None
    of_version = (F.col("_interval") == interval.id) & (F.col("_version") == version)
    return compare(written, newest_rows(read_table(spark, uri).where(of_version), pipeline), pipeline)

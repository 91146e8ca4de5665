"""The batch layer: one interval from the raw archive, by the same transformation, as one run."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict, Mapping, Tuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.layers import interval_rows
from jobs.pipeline import Pipeline
from jobs.speed_parity import speed_parity
from jobs.tables import ensure_table, read_table

__all__ = ["read_events", "reprocess"]


def reprocess(
    spark: SparkSession,
    pipeline: Pipeline,
    interval: Interval,
    lake: Lake,
    run: str,
    version: str,
    raw_version: int,
    coverage: Mapping[int, int],
) -> Dict[str, Any]:
    """Writes the interval's rows to `batch/<pipeline>` under `run` and compares them with the speed layer's.

    Publishes nothing: rows of a run are invisible until `published` names it. The same run twice writes once.
    `coverage`: per partition, the offset below which everything is in `raw_version` of the raw archive. Returns counts
    (`rows_read`, `dead_letters`, `rows_written`), and `parity`, `late` and `speed_batch` (see `jobs.speed_parity`; None
    when there is no speed layer to compare). `dead_letters` are those whose Kafka timestamp lies in the interval.
    """
    raw = read_table(spark, lake.raw(pipeline.topic.name), raw_version)
    events = read_events(raw, pipeline, interval)
    rows = interval_rows(events, pipeline, interval).withColumn("_run", F.lit(run))
    ensure_table(spark, rows.schema, lake.batch(pipeline.name), ["_interval", "_run"])
    (
        rows.write.format("delta")
        .mode("append")
        .option("txnAppId", run)
        .option("txnVersion", 0)
        .option("mergeSchema", "true")  # another version may have columns that this one lacks, or lack some
        .partitionBy("_interval", "_run")
        .save(lake.batch(pipeline.name))
    )
    written = read_table(spark, lake.batch(pipeline.name))
    written = written.where((F.col("_interval") == interval.id) & (F.col("_run") == run))
    rows_read, offsets = _count(events)
    return {
        "rows_read": rows_read,
        "dead_letters": _dead_letters(raw, interval),
        "rows_written": written.count(),
        **speed_parity(spark, pipeline, interval, lake, version, events, offsets, coverage, written),
    }


def read_events(raw: DataFrame, pipeline: Pipeline, interval: Interval) -> DataFrame:
    """The decoded records whose event time lies in the interval: typed columns of its days alone, no JSON."""
    event_time = F.col(f"event.{pipeline.topic.event_time}")
    last_day = (interval.end - timedelta(microseconds=1)).date()
    in_days = F.col("event_date").between(F.lit(interval.start.date()), F.lit(last_day))
    inside = (event_time >= F.lit(interval.start)) & (event_time < F.lit(interval.end))
    return raw.where(in_days & inside).select("event", "partition", "offset", "redecoded_at")


def _count(events: DataFrame) -> Tuple[int, Dict[int, Tuple[int, int]]]:
    """How many, and the first and last offset of each partition."""
    found = events.groupBy("partition").agg(F.count("*").alias("n"), F.min("offset"), F.max("offset")).collect()
    return sum(row["n"] for row in found), {row["partition"]: (row[2], row[3]) for row in found}


def _dead_letters(raw: DataFrame, interval: Interval) -> int:
    arrived = (F.col("timestamp") >= F.lit(interval.start)) & (F.col("timestamp") < F.lit(interval.end))
    return raw.where(F.col("event_date").isNull() & arrived).count()

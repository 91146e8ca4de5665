"""The batch layer: one interval from the raw archive, by the same transformation, as one run."""

from __future__ import annotations

from datetime import datetime, timezone
from typing import Any, Dict, Mapping, Tuple

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.interval_events import in_days, read_events
from jobs.lake import Lake
from jobs.layers import interval_rows
from jobs.pipeline import Pipeline
from jobs.speed_parity import speed_parity
from jobs.tables import ensure_table, read_table
from jobs.windows import Sessions

__all__ = ["reprocess"]


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
    (`rows_read`, `dead_letters`, `rows_written`; `rows_archived` where the archive has records by another decoder than
    the version's: see `jobs.interval_events`; of a pipeline that does not read just the interval `rows_by_day`: see
    `_rows_by_day`), and `parity`, `late` and `speed_batch` (see `jobs.speed_parity`; None when there is no speed
    layer to compare). `dead_letters` are those whose Kafka timestamp lies in the interval. Raises UsageError where a
    session goes on for longer than was read, or a key has several rows.
    """
    raw = read_table(spark, lake.raw(pipeline.topic.name), raw_version)
    events = read_events(raw, pipeline, interval)
    rows = interval_rows(events.rows, pipeline, interval).withColumn("_run", F.lit(run))
    _write(spark, rows, lake.batch(pipeline.name), run)
    written = read_table(spark, lake.batch(pipeline.name))
    written = written.where((F.col("_interval") == interval.id) & (F.col("_run") == run))
    _check_whole(written, pipeline, interval)
    rows_written = _count_written(written, pipeline, interval)
    rows_read, offsets = _count(events.rows)
    reads = pipeline.reads(interval)
    return {
        "rows_read": rows_read,
        **({} if events.archived is None else {"rows_archived": events.archived}),
        **({} if reads == interval else {"rows_by_day": _rows_by_day(raw, reads)}),
        "dead_letters": _dead_letters(raw, interval),
        "rows_written": rows_written,
        **speed_parity(spark, pipeline, interval, lake, version, events.rows, offsets, coverage, written),
    }


def _write(spark: SparkSession, rows: DataFrame, uri: str, run: str) -> None:
    ensure_table(spark, rows.schema, uri, ["_interval", "_run"])
    (
        rows.write.format("delta")
        .mode("append")
        .option("txnAppId", run)
        .option("txnVersion", 0)
        .option("mergeSchema", "true")  # another version may have columns that this one lacks, or lack some
        .partitionBy("_interval", "_run")
        .save(uri)
    )


def _rows_by_day(raw: DataFrame, reads: Interval) -> Dict[str, int]:
    """All rows of the days that were read: while the archive has no more, there is nothing new for the interval."""
    counts = raw.where(in_days(reads)).groupBy("event_date").count().orderBy("event_date").collect()
    return {row["event_date"].isoformat(): row["count"] for row in counts}


def _check_whole(written: DataFrame, pipeline: Pipeline, interval: Interval) -> None:
    """Raises UsageError where events that the run did not read may belong to a session of the interval."""
    windows, read_to = pipeline.windows, pipeline.reads(interval).end
    if not isinstance(windows, Sessions):
        return
    longest = written.where(F.col(windows.end) >= F.lit(read_to)).orderBy(F.col(windows.end).desc()).first()
    if longest is not None:
        key = _key(longest, pipeline)
        raise UsageError(
            f"pipeline {pipeline.name!r}, interval {interval.id}: the session {key} goes on to where the run stops"
            f" reading, {read_to:%Y-%m-%d %H:%M:%S} UTC, {windows.lookback} after the interval's end: its row would be"
            " cut; raise the lookback of Sessions to the longest session there is, or cut long ones up front"
        )


def _count_written(written: DataFrame, pipeline: Pipeline, interval: Interval) -> int:
    """How many rows. Raises UsageError where a key, which may hold nulls, has several of them: the view would show all
    of batch's, and one of the speed layer's."""
    by_key = written.groupBy(*pipeline.key).agg(F.count("*").alias("_rows"))
    rows, keys = by_key.agg(F.coalesce(F.sum("_rows"), F.lit(0)), F.count("*")).collect()[0]
    if rows > keys:
        (doubled,) = by_key.orderBy(F.col("_rows").desc(), *pipeline.key).limit(1).collect()
        raise UsageError(
            f"pipeline {pipeline.name!r}, interval {interval.id}: the key {_key(doubled, pipeline)} has"
            f" {doubled['_rows']:,} rows, and {keys:,} keys have {rows:,} together; a key has one row in an interval:"
            f" let {pipeline.transform} give one row per key, or add the column to the key that tells rows apart"
        )
    return int(rows)


def _key(row: Row, pipeline: Pipeline) -> str:
    return ", ".join(f"{name}={_shown(row[name])}" for name in pipeline.key)


def _shown(value: Any) -> str:
    return value.astimezone(timezone.utc).isoformat() if isinstance(value, datetime) else str(value)


def _count(events: DataFrame) -> Tuple[int, Dict[int, Tuple[int, int]]]:
    """How many, and the first and last offset of each partition."""
    found = events.groupBy("partition").agg(F.count("*").alias("n"), F.min("offset"), F.max("offset")).collect()
    return sum(row["n"] for row in found), {row["partition"]: (row[2], row[3]) for row in found}


def _dead_letters(raw: DataFrame, interval: Interval) -> int:
    arrived = (F.col("timestamp") >= F.lit(interval.start)) & (F.col("timestamp") < F.lit(interval.end))
    return raw.where(F.col("event_date").isNull() & arrived).count()

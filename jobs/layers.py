"""What both layers share: the events a transformation gets, and the interval an output row belongs to."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.pipeline import Pipeline
from jobs.windows import Sessions

__all__ = ["events_of", "interval_of", "interval_rows", "transform_events"]


def events_of(decoded: DataFrame) -> DataFrame:
    """What a transformation gets of decoded records (`event`, `partition`, `offset`), less the dead letters."""
    return decoded.where("event is not null").select(
        "event.*", F.col("partition").alias("_partition"), F.col("offset").alias("_offset")
    )


def transform_events(decoded: DataFrame, pipeline: Pipeline) -> DataFrame:
    """Applies the pipeline's transformation to decoded records (`event`, `partition`, `offset`): stream or batch alike.

    The watermark is a no-op on a batch. Raises UsageError when the output lacks the declared columns.
    """
    delay = f"{int(pipeline.watermark.total_seconds() * 1000)} milliseconds"
    events = events_of(decoded).withWatermark(pipeline.topic.event_time, delay)
    rows: DataFrame = pipeline.load_transform()(events)
    for column in (*pipeline.key, pipeline.row_time, *pipeline.windows.columns):
        if column not in rows.columns:
            raise UsageError(
                f"pipeline {pipeline.name!r}: {pipeline.transform} gives no column {column!r} (it gives"
                f" {', '.join(rows.columns)}); key and row_time must be among them, and a session's end: change either"
            )
    return rows


def interval_rows(events: DataFrame, pipeline: Pipeline, interval: Interval) -> DataFrame:
    """What the transformation makes of the events that the interval's rows are made of (see `Pipeline.reads`), with
    `_interval`: the rows that belong to it."""
    rows = transform_events(events, pipeline).withColumn("_interval", interval_of(pipeline))
    belongs = F.col("_interval") == interval.id
    if isinstance(pipeline.windows, Sessions):
        # Spark pushes what filters sessions by their start below their merging, where each event is a session: it would
        # cut those that cross the edge. What is not deterministic it leaves in its place (and takes apart at AND).
        belongs = belongs | (F.spark_partition_id() < 0)
    return rows.where(belongs)


def interval_of(pipeline: Pipeline) -> Column:
    """The id of the interval that holds a row's `row_time`: see jobs.interval.Interval.id."""
    length = int(pipeline.interval.total_seconds())
    start = F.expr(f"timestamp_seconds(floor(unix_seconds(`{pipeline.row_time}`) / {length}) * {length})")
    return F.date_format(start, "yyyyMMdd'T'HHmmss'Z'")

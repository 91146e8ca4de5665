"""Transformations with windows that slide, and with sessions, and their pipelines: what the tests here run."""

from __future__ import annotations

from datetime import timedelta

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.pipeline import Pipeline
from jobs.topics import stock_ticks
from jobs.windows import Sessions, Sliding

MINUTE = timedelta(minutes=1)


def volumes(ticks: DataFrame) -> DataFrame:
    """Volume and last price per symbol in the last 10 minutes, every 2."""
    order = F.struct("event_time", "_partition", "_offset")
    return (
        ticks.groupBy("symbol", F.window("event_time", "10 minutes", "2 minutes").alias("window"))
        .agg(F.sum("volume").alias("volume"), F.max_by("price", order).alias("close"), F.count("*").alias("count"))
        .select(
            "symbol",
            F.col("window.start").alias("window_start"),
            F.col("window.end").alias("window_end"),
            "volume",
            "close",
            "count",
        )
    )


def bursts(ticks: DataFrame) -> DataFrame:
    """Volume and last price per symbol and burst: ticks no further than 5 minutes apart."""
    order = F.struct("event_time", "_partition", "_offset")
    return (
        ticks.groupBy("symbol", F.session_window("event_time", "5 minutes").alias("session"))
        .agg(F.sum("volume").alias("volume"), F.max_by("price", order).alias("close"), F.count("*").alias("count"))
        .select(
            "symbol",
            F.col("session.start").alias("session_start"),
            F.col("session.end").alias("session_end"),
            "volume",
            "close",
            "count",
        )
    )


by_start = Pipeline(
    name="volumes",
    topic=stock_ticks,
    transform="tests.parity.windowed:volumes",
    key=("symbol", "window_start"),
    row_time="window_start",
    window=Sliding(10 * MINUTE, every=2 * MINUTE),
    watermark=2 * MINUTE,
)
by_end = Pipeline(
    name="volumes_by_end",
    topic=stock_ticks,
    transform="tests.parity.windowed:volumes",
    key=("symbol", "window_end"),
    row_time="window_end",
    window=Sliding(10 * MINUTE, every=2 * MINUTE, placed_by="end"),
    watermark=2 * MINUTE,
)
in_bursts = Pipeline(
    name="bursts",
    topic=stock_ticks,
    transform="tests.parity.windowed:bursts",
    key=("symbol", "session_start"),
    row_time="session_start",
    window=Sessions(5 * MINUTE, by=("symbol",), lookback=30 * MINUTE),
    watermark=2 * MINUTE,
)

"""`stock_high_low`'s transformation as somebody might change it without a new version."""

from __future__ import annotations

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.pipelines.stock_high_low.transform import high_low


def another_column(ticks: DataFrame) -> DataFrame:
    window = F.window("event_time", "1 minute")
    totals = ticks.groupBy("symbol", window.alias("window")).agg(F.sum("price").alias("total"))
    return totals.select("symbol", F.col("window.start").alias("window_start"), "total")


def high_is_low(ticks: DataFrame) -> DataFrame:
    """The same columns of the same types in the same state, with other answers."""
    order = F.struct("event_time", "_partition", "_offset")
    return (
        ticks.groupBy("symbol", F.window("event_time", "1 minute").alias("window"))
        .agg(
            F.min_by("price", order).alias("open"),
            F.min("price").alias("high"),
            F.max("price").alias("low"),
            F.max_by("price", order).alias("close"),
            F.sum("volume").alias("volume"),
            F.count("*").alias("count"),
        )
        .select(
            "symbol",
            F.col("window.start").alias("window_start"),
            F.col("window.end").alias("window_end"),
            *("open", "high", "low", "close", "volume", "count"),
        )
    )


def the_same(ticks: DataFrame) -> DataFrame:
    """With a step that keeps no state."""
    return high_low(ticks.where("true"))


def with_venue(ticks: DataFrame) -> DataFrame:
    """Of a topic with the field `venue`."""
    window = F.window("event_time", "1 minute")
    found = ticks.groupBy("symbol", window.alias("window")).agg(
        F.max("venue").alias("venue"), F.count("*").alias("count")
    )
    return found.select("symbol", F.col("window.start").alias("window_start"), "venue", "count")

"""The transformation of `stock_high_low`: pure, so that it runs unchanged on a stream and on the archive."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F


def high_low(ticks: DataFrame) -> DataFrame:
    """One row per symbol and window [window_start, window_end): open, high, low, close, volume, count.

    Open and close are the prices at the least and greatest (event time, partition, offset): arrival order is not
    deterministic, this is.
    """
    order = F.struct("event_time", "_partition", "_offset")
    return (
        ticks.groupBy("symbol", F.window("event_time", "1 minute").alias("window"))
        .agg(
            F.min_by("price", order).alias("open"),
            F.max("price").alias("high"),
            F.min("price").alias("low"),
            F.max_by("price", order).alias("close"),
            F.sum("volume").alias("volume"),
            F.count("*").alias("count"),
        )
        .select(
            "symbol",
            F.col("window.start").alias("window_start"),
            F.col("window.end").alias("window_end"),
            "open",
            "high",
            "low",
            "close",
            "volume",
            "count",
        )
    )

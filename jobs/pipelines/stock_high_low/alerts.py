"""The alerts of `stock_high_low`: pure, and one event at a time, so that real-time mode can run it."""

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

LARGE = 990


def large_trades(ticks: DataFrame) -> DataFrame:
    """One row per trade of at least `LARGE` shares, with the money that it moved."""
    return ticks.where(F.col("volume") >= LARGE).select(
        "symbol",
        "event_time",
        "price",
        "volume",
        (F.col("price") * F.col("volume")).alias("turnover"),
        "_partition",
        "_offset",
    )

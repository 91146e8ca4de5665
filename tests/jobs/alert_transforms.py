"""Transformations of alerts, sound and unsound. Runs on Python 3.8 too."""

from __future__ import annotations

from pyspark.sql import DataFrame, Window
from pyspark.sql import functions as F

PLACE = ("symbol", "_partition", "_offset")


def twice(ticks: DataFrame) -> DataFrame:
    """Two rows per tick; the key has two columns."""
    kinds = F.explode(F.array(F.lit("price"), F.lit("volume")))
    return ticks.withColumn("kind", kinds).select("kind", *PLACE)


def per_minute(ticks: DataFrame) -> DataFrame:
    """A window without an aggregation places a row."""
    return ticks.select(*PLACE, F.window("event_time", "1 minute").alias("minute"))


def without_offset(ticks: DataFrame) -> DataFrame:
    return ticks.select("symbol", "_partition")


def counted(ticks: DataFrame) -> DataFrame:
    return ticks.groupBy(*PLACE).count()


def joined(ticks: DataFrame) -> DataFrame:
    return ticks.select(*PLACE).join(ticks.select("symbol", "price"), "symbol")


def united(ticks: DataFrame) -> DataFrame:
    return ticks.select(*PLACE).union(ticks.select(*PLACE))


def ordered(ticks: DataFrame) -> DataFrame:
    return ticks.orderBy("price")


def first_ones(ticks: DataFrame) -> DataFrame:
    return ticks.limit(3)


def distinct(ticks: DataFrame) -> DataFrame:
    return ticks.dropDuplicates(["symbol"])


def ranked(ticks: DataFrame) -> DataFrame:
    return ticks.withColumn("rank", F.rank().over(Window.partitionBy("symbol").orderBy("price")))


def spread(ticks: DataFrame) -> DataFrame:
    return ticks.repartition(7)


def called(ticks: DataFrame) -> DataFrame:
    return ticks.withColumn("loud", F.udf(str.upper, "string")("symbol"))

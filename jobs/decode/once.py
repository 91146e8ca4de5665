"""Keeping Spark's optimizer from copying an expensive expression to every place that uses its value."""

from __future__ import annotations

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

__all__ = ["computed_once"]


def computed_once(rows: DataFrame, name: str, value: Column) -> DataFrame:
    """Adds a column that is evaluated once per row, however often it is used.

    A projection would be merged with its users, and a filter on it pushed below: Spark 3.3 then parses a record's JSON
    up to a hundred times. An array of one, exploded, is a border that no expression crosses.
    """
    return rows.withColumn(name, F.explode(F.array(value)))

"""Delta tables on the lake, by path."""

from __future__ import annotations

from typing import List, Optional

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from jobs.lake_files import LakeFiles

__all__ = ["ensure_table", "read_table"]


def ensure_table(spark: SparkSession, schema: StructType, uri: str, partition_by: List[str]) -> None:
    """Creates an empty table if there is none, so that readers find one before its first row.

    Several drivers may do it at once, as the first runs of a backfill do: one creates it, the others find it there.
    """
    files = LakeFiles(spark)
    if files.is_table(uri):
        return
    empty = spark.createDataFrame([], schema)
    try:
        empty.write.format("delta").mode("ignore").partitionBy(*partition_by).save(uri)
    except Py4JJavaError:
        if not files.is_table(uri):
            raise


def read_table(spark: SparkSession, uri: str, version: Optional[int] = None) -> DataFrame:
    """The table as of a version, or as it is now."""
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(uri)

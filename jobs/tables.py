"""Delta tables on the lake, by path."""

from __future__ import annotations

from types import MappingProxyType
from typing import List, Mapping, Optional

from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql.types import StructType

from jobs.lake_files import LakeFiles

__all__ = ["ensure_table", "read_table"]


def ensure_table(
    spark: SparkSession,
    schema: StructType,
    uri: str,
    partition_by: List[str],
    properties: Mapping[str, str] = MappingProxyType({}),
) -> None:
    """Creates an empty table if there is none, so that readers find one before its first row.

    Several drivers may do it at once, as the first runs of a backfill do: one creates it, the others find it there.
    A table that lacks one of these `properties`, as an older Millrace left it, gets it.
    """
    files = LakeFiles(spark)
    if not files.is_table(uri):
        empty = spark.createDataFrame([], schema)
        try:
            empty.write.format("delta").mode("ignore").partitionBy(*partition_by).options(**properties).save(uri)
        except Py4JJavaError:
            if not files.is_table(uri):
                raise
    if properties:
        _keep(spark, uri, properties)


def _keep(spark: SparkSession, uri: str, properties: Mapping[str, str]) -> None:
    found = spark.sql(f"DESCRIBE DETAIL delta.`{uri}`").collect()[0]["properties"]
    if missing := {name: value for name, value in properties.items() if found.get(name) != value}:
        told = ", ".join(f"'{name}' = '{value}'" for name, value in missing.items())
        spark.sql(f"ALTER TABLE delta.`{uri}` SET TBLPROPERTIES ({told})")


def read_table(spark: SparkSession, uri: str, version: Optional[int] = None) -> DataFrame:
    """The table as of a version, or as it is now."""
    reader = spark.read.format("delta")
    return (reader if version is None else reader.option("versionAsOf", version)).load(uri)

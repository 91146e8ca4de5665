"""The table `serving`, as Spark reads it."""

from __future__ import annotations

from typing import List

from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.tables import read_table

__all__ = ["preferred_versions"]


def preferred_versions(spark: SparkSession, lake: Lake, pipeline: str) -> List[str]:
    """The versions that serve the pipeline, in order of preference; none before the first is served."""
    if not LakeFiles(spark).is_table(lake.serving):
        return []
    history = read_table(spark, lake.serving).where(F.col("pipeline") == pipeline)
    newest = history.orderBy(F.col("number").desc()).limit(1).collect()
    return list(newest[0]["versions"]) if newest else []

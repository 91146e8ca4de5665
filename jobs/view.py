"""The serving view in Spark SQL."""

from __future__ import annotations

import json
from typing import Tuple

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.speed import newest_rows
from jobs.tables import read_table

__all__ = ["serving_view"]


def serving_view(spark: SparkSession, pipeline: Pipeline, lake: Lake, version: str) -> DataFrame:
    """The pipeline's rows, each with its `_interval` and `_layer`: batch or speed. Also a temporary view of its name.

    `_partial` marks the rows of intervals that were published from an archive that was not proven complete.
    A snapshot: which runs are served is read first, the tables after it, so that no interval is missing or doubled
    while one is being published. Call it again for newer answers. `published` and both layers' tables must exist.
    """
    mine = read_table(spark, lake.published).where(F.col("pipeline") == pipeline.name)
    served = [_served(row) for row in mine.select("_interval", "run", "certificate").collect()]
    runs = spark.createDataFrame(served, "_interval string, _run string, _partial boolean")
    batch = read_table(spark, lake.batch(pipeline.name)).join(F.broadcast(runs), ["_interval", "_run"]).drop("_run")
    unpublished = ~F.col("_interval").isin([interval for interval, _, _ in served])
    log = read_table(spark, lake.speed(pipeline.name)).where(unpublished & (F.col("_version") == version))
    layers = (
        batch.withColumn("_layer", F.lit("batch")),
        newest_rows(log, pipeline).withColumn("_layer", F.lit("speed")).withColumn("_partial", F.lit(False)),
    )
    view = layers[1].unionByName(layers[0])
    view.createOrReplaceTempView(pipeline.name)
    return view


def _served(publication: Row) -> Tuple[str, str, bool]:
    """The interval, its run, and whether it is partial, of a row of `published`."""
    partial = json.loads(publication["certificate"]).get("partial")
    return publication["_interval"], publication["run"], bool(partial)

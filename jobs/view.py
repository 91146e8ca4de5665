"""The serving view in Spark SQL."""

from __future__ import annotations

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.speed import newest_rows
from jobs.tables import read_table

__all__ = ["serving_view"]


def serving_view(spark: SparkSession, pipeline: Pipeline, lake: Lake, version: str) -> DataFrame:
    """The pipeline's rows, each with its `_interval` and `_layer`: batch or speed. Also a temporary view of its name.

    A snapshot: which runs are served is read first, the tables after it, so that no interval is missing or doubled
    while one is being published. Call it again for newer answers. `published` and both layers' tables must exist.
    """
    mine = read_table(spark, lake.published).where(F.col("pipeline") == pipeline.name)
    served = [(row["_interval"], row["run"]) for row in mine.select("_interval", "run").collect()]
    runs = spark.createDataFrame(served, "_interval string, _run string")
    batch = read_table(spark, lake.batch(pipeline.name)).join(F.broadcast(runs), ["_interval", "_run"]).drop("_run")
    unpublished = ~F.col("_interval").isin([interval for interval, _ in served])
    log = read_table(spark, lake.speed(pipeline.name)).where(unpublished & (F.col("_version") == version))
    layers = (
        batch.withColumn("_layer", F.lit("batch")),
        newest_rows(log, pipeline).withColumn("_layer", F.lit("speed")),
    )
    view = layers[0].unionByName(layers[1])
    view.createOrReplaceTempView(pipeline.name)
    return view

"""The serving view in Spark SQL."""

from __future__ import annotations

import json
from typing import List, Sequence, Tuple

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.declaration import read_declaration
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.serving import versions_by_interval
from jobs.serving_table import preferred_versions
from jobs.speed import newest_rows
from jobs.tables import read_table

__all__ = ["serving_view"]

_RUNS = "_interval string, _run string, _partial boolean, _version string"


def serving_view(spark: SparkSession, pipeline: Pipeline, lake: Lake, version: str) -> DataFrame:
    """The pipeline's rows, each with its `_interval` and `_layer`: batch or speed. Also a temporary view of its name.

    `_partial` marks the rows of intervals that were published from an archive that was not proven complete;
    `_version` is the version that answers. An interval is served by the first version in the newest row of `serving`
    that has published it, and by the speed rows of the first of all where none has. `version` is served where
    `serving` has no row of the pipeline. Speed rows are told apart by the key that the served version declared.

    A snapshot: which versions and runs are served is read first, the tables after it, so that no interval is missing
    or doubled while one is being published, or another version is switched to. Call it again for newer answers.
    `published` and both layers' tables must exist.
    """
    versions = preferred_versions(spark, lake, pipeline.name) or [version]
    served = _served(read_table(spark, lake.published).where(F.col("pipeline") == pipeline.name), versions)
    runs = spark.createDataFrame(served, _RUNS)
    batch = read_table(spark, lake.batch(pipeline.name)).join(F.broadcast(runs), ["_interval", "_run"]).drop("_run")
    unpublished = ~F.col("_interval").isin([run[0] for run in served])
    log = read_table(spark, lake.speed(pipeline.name)).where(unpublished & (F.col("_version") == versions[0]))
    declared = read_declaration(LakeFiles(spark), lake, pipeline, versions[0])
    speed = newest_rows(log, declared).withColumn("_partial", F.lit(False)).withColumn("_version", F.lit(versions[0]))
    view = speed.withColumn("_layer", F.lit("speed")).unionByName(
        batch.withColumn("_layer", F.lit("batch")), allowMissingColumns=True
    )
    view.createOrReplaceTempView(pipeline.name)
    return view


def _served(published: DataFrame, versions: Sequence[str]) -> List[Tuple[str, str, bool, str]]:
    """Interval, run, whether it is partial, and version, of what is served of a pipeline."""
    rows = published.select("_interval", "run", "certificate", "version").collect()
    chosen = versions_by_interval([(row["_interval"], row["version"]) for row in rows], versions)
    return [_run(row) for row in rows if chosen.get(row["_interval"]) == row["version"]]


def _run(publication: Row) -> Tuple[str, str, bool, str]:
    partial = json.loads(publication["certificate"]).get("partial")
    return publication["_interval"], publication["run"], bool(partial), publication["version"]

"""The serving view in Spark SQL."""

from __future__ import annotations

import json
from datetime import timezone
from typing import Any, List, Mapping, Sequence, Tuple

from pyspark.sql import DataFrame, Row, SparkSession
from pyspark.sql import functions as F

from jobs.accepted_losses import AcceptedLoss, accepted_losses, lost_from
from jobs.declaration import read_declaration
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.run_reads import read_span, read_topic
from jobs.serving import versions_by_interval
from jobs.serving_table import preferred_versions
from jobs.speed import newest_rows
from jobs.tables import read_table

__all__ = ["serving_view"]

_RUNS = "_interval string, _run string, _partial boolean, _version string"


def serving_view(spark: SparkSession, pipeline: Pipeline, lake: Lake, version: str) -> DataFrame:
    """The pipeline's rows, each with its `_interval` and `_layer`: batch or speed. Also a temporary view of its name.

    `_partial` marks the rows of intervals that were published from an archive that was not proven complete, or of which
    something was accepted as lost since; `_version` is the version that answers. An interval is served by the first
    version in the newest row of `serving` that has published it, and by the speed rows of the first of all where none
    has. `version` is served where `serving` has no row of the pipeline. Speed rows are told apart by the key that the
    served version declared.

    A snapshot: which versions and runs are served is read first, the tables after it, so that no interval is missing
    or doubled while one is being published, or another version is switched to. Call it again for newer answers.
    `published` and both layers' tables must exist.
    """
    versions = preferred_versions(spark, lake, pipeline.name) or [version]
    published = read_table(spark, lake.published).where(F.col("pipeline") == pipeline.name)
    served = _served(LakeFiles(spark), lake, pipeline, _chosen(published, versions))
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


def _chosen(published: DataFrame, versions: Sequence[str]) -> List[Row]:
    """What is served of a pipeline."""
    columns = ("_interval", "interval_start", "interval_end", "run", "version", "certificate", "result")
    rows = published.select(*columns).collect()
    chosen = versions_by_interval([(row["_interval"], row["version"]) for row in rows], versions)
    return [row for row in rows if chosen.get(row["_interval"]) == row["version"]]


def _served(
    files: LakeFiles, lake: Lake, pipeline: Pipeline, publications: Sequence[Row]
) -> List[Tuple[str, str, bool, str]]:
    """Interval, run, whether it is partial, and version. What is accepted as lost is asked after these were read."""
    certificates = {each["_interval"]: json.loads(each["certificate"]) for each in publications}
    topics = {read_topic(pipeline, certificate) for certificate in certificates.values()}
    losses = {topic: accepted_losses(files, lake, topic) for topic in topics}
    found = []
    for each in publications:
        certificate = certificates[each["_interval"]]
        is_partial = _is_partial(pipeline, each, certificate, losses[read_topic(pipeline, certificate)])
        found.append((each["_interval"], each["run"], is_partial, each["version"]))
    return found


def _is_partial(
    pipeline: Pipeline, publication: Row, certificate: Mapping[str, Any], losses: Sequence[AcceptedLoss]
) -> bool:
    edges = (publication[name].astimezone(timezone.utc) for name in ("interval_start", "interval_end"))
    span = read_span(pipeline, Interval(*edges), json.loads(publication["result"]))
    return bool(certificate.get("partial") or lost_from(losses, certificate, span.start, span.end))

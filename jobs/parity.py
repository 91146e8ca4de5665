"""Comparing what two layers say about one interval, row by row."""

from __future__ import annotations

import json
from typing import Any, Dict, List

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, FloatType

from jobs.pipeline import Pipeline

__all__ = ["compare"]

LISTED_KEYS = 20
OUTCOMES = ("equal", "different", "only_batch", "only_speed")


def compare(batch: DataFrame, speed: DataFrame, pipeline: Pipeline) -> Dict[str, Any]:
    """Counts by outcome (equal, different, only_batch, only_speed) and the first differing keys of each outcome.

    Both hold the transformation's columns, with one row per key. Floating point columns compare within the pipeline's
    relative tolerance, all others exactly; null equals null.
    """
    outcome = _outcomes(batch, speed, pipeline).cache()
    try:
        counts = {row["outcome"]: row["count"] for row in outcome.groupBy("outcome").count().collect()}
        differing = outcome.where("outcome <> 'equal'").orderBy(*pipeline.key).limit(LISTED_KEYS)
        keys = [json.loads(row["row"]) for row in differing.select(F.to_json(F.struct("*")).alias("row")).collect()]
    finally:
        outcome.unpersist()
    return {**{name: counts.get(name, 0) for name in OUTCOMES}, "differing_keys": keys}


def _outcomes(batch: DataFrame, speed: DataFrame, pipeline: Pipeline) -> DataFrame:
    """One row per key of either side: the key and its outcome."""
    values = [name for name in batch.columns if name not in pipeline.key and not name.startswith("_")]
    left = _packed(batch, pipeline, values, "b")
    right = _packed(speed, pipeline, values, "s")
    same_key = [F.col(f"b_{name}").eqNullSafe(F.col(f"s_{name}")) for name in pipeline.key]
    floating = {f.name for f in batch.schema.fields if isinstance(f.dataType, (DoubleType, FloatType))}
    equal = F.lit(True)
    for name in values:
        equal = equal & _equal(f"b.{name}", f"s.{name}", pipeline.float_tolerance if name in floating else None)
    outcome = (
        F.when(F.col("s").isNull(), "only_batch")
        .when(F.col("b").isNull(), "only_speed")
        .when(equal, "equal")
        .otherwise("different")
    )
    keys = [
        F.when(F.col("b").isNull(), F.col(f"s_{name}")).otherwise(F.col(f"b_{name}")).alias(name)
        for name in pipeline.key
    ]
    return left.join(right, same_key, "full_outer").select(*keys, outcome.alias("outcome"))


def _packed(rows: DataFrame, pipeline: Pipeline, values: List[str], side: str) -> DataFrame:
    keys = [F.col(name).alias(f"{side}_{name}") for name in pipeline.key]
    # The struct is never null where the side has a row, whatever its values: that is what tells a missing row.
    return rows.select(*keys, F.struct(F.lit(1).alias("_present"), *values).alias(side))


def _equal(left: str, right: str, tolerance: "float | None") -> Column:
    a, b = F.col(left), F.col(right)
    if tolerance is None:
        return a.eqNullSafe(b)
    larger = F.greatest(F.abs(a), F.abs(b))
    # NaN is greater than infinity here, and both are "near" everything by the plain formula.
    near = (larger < float("inf")) & (F.abs(a - b) <= larger * tolerance)
    return a.eqNullSafe(b) | F.coalesce(near, F.lit(False))

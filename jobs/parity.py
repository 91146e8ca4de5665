"""Comparing what two layers say about one interval, row by row."""

from __future__ import annotations

import json
from typing import Any, Callable, Dict, List

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F
from pyspark.sql.types import DoubleType, FloatType, NumericType

from jobs.pipeline import Pipeline
from jobs.verdicts import UNEXPLAINED

__all__ = ["compare", "outcomes"]

LISTED = 20
OUTCOMES = ("equal", "different", "only_batch", "only_speed")

FindCauses = Callable[[DataFrame], DataFrame]


def unexplained(differing: DataFrame) -> DataFrame:
    """Where nothing is known of what the speed layer read, nothing is explained."""
    return differing.withColumn("cause", F.lit(UNEXPLAINED))


def compare(
    batch: DataFrame, speed: DataFrame, pipeline: Pipeline, find_causes: FindCauses = unexplained
) -> Dict[str, Any]:
    """Counts by outcome (equal, different, only_batch, only_speed), `causes` (differences by cause), and `differences`.

    Both hold the transformation's columns, with one row per key. Floating point columns compare within the pipeline's
    relative tolerance, all others exactly; null equals null. `find_causes` adds `cause` to the keys that differ.
    `differences` lists the first few, unexplained before others and great before small: key, outcome, cause, and the
    row of each layer.
    """
    outcome = outcomes(batch, speed, pipeline).cache()
    try:
        counts = {row["outcome"]: row["count"] for row in outcome.groupBy("outcome").count().collect()}
        found = {name: counts.get(name, 0) for name in OUTCOMES}
        if sum(found.values()) == found["equal"]:
            return {**found, "causes": {}, "differences": []}
        return {**found, **_differences(outcome.where("outcome <> 'equal'"), pipeline, find_causes)}
    finally:
        outcome.unpersist()


def outcomes(batch: DataFrame, speed: DataFrame, pipeline: Pipeline) -> DataFrame:
    """One row per key of either side: the key, its `outcome`, and each side's values (`batch`, `speed`; null: no row).

    `magnitude` is the greatest relative difference of a numeric column; 1 where a side has no row.
    """
    values = [name for name in batch.columns if name not in pipeline.key and not name.startswith("_")]
    speed = _with_columns_of(batch, speed)
    left, right = _packed(batch, pipeline, values, "b"), _packed(speed, pipeline, values, "s")
    types = {field.name: field.dataType for field in batch.schema.fields}
    equal, magnitude = F.lit(True), [F.lit(0.0), F.lit(0.0)]
    for name in values:
        floating = isinstance(types[name], (DoubleType, FloatType))
        equal = equal & _equal(f"b.{name}", f"s.{name}", pipeline.float_tolerance if floating else None)
        if isinstance(types[name], NumericType):
            magnitude.append(_relative(f"b.{name}", f"s.{name}"))
    one_sided = F.col("b").isNull() | F.col("s").isNull()
    outcome = (
        F.when(F.col("s").isNull(), "only_batch")
        .when(F.col("b").isNull(), "only_speed")
        .when(equal, "equal")
        .otherwise("different")
    )
    joined = left.join(
        right, [F.col(f"b_{name}").eqNullSafe(F.col(f"s_{name}")) for name in pipeline.key], "full_outer"
    )
    keys = [
        F.when(F.col("b").isNull(), F.col(f"s_{name}")).otherwise(F.col(f"b_{name}")).alias(name)
        for name in pipeline.key
    ]
    return joined.select(
        *keys,
        outcome.alias("outcome"),
        F.col("b").dropFields("_present").alias("batch") if values else F.col("b").alias("batch"),
        F.col("s").dropFields("_present").alias("speed") if values else F.col("s").alias("speed"),
        F.when(one_sided, 1.0).otherwise(F.greatest(*magnitude)).alias("magnitude"),
    )


def _with_columns_of(batch: DataFrame, speed: DataFrame) -> DataFrame:
    """`speed` with nulls in the columns that its table lacks: those that only another version has written so far."""
    for field in batch.schema.fields:
        if field.name not in speed.columns:
            speed = speed.withColumn(field.name, F.lit(None).cast(field.dataType))
    return speed


def _differences(differing: DataFrame, pipeline: Pipeline, find_causes: FindCauses) -> Dict[str, Any]:
    caused = find_causes(differing).cache()
    try:
        causes = {row["cause"]: row["count"] for row in caused.groupBy("cause").count().collect()}
        order: List[Any] = [
            F.when(F.col("cause") == UNEXPLAINED, 0).otherwise(1),
            F.col("magnitude").desc(),
            *pipeline.key,
        ]
        listed = (
            caused.orderBy(*order)
            .limit(LISTED)
            .select(F.struct(*pipeline.key).alias("key"), "outcome", "cause", "batch", "speed")
        )
        # A layer's null is told from a column that is missing.
        texts = listed.select(F.to_json(F.struct("*"), {"ignoreNullFields": "false"}).alias("text")).collect()
    finally:
        caused.unpersist()
    return {"causes": causes, "differences": [json.loads(row["text"]) for row in texts]}


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


def _relative(left: str, right: str) -> Column:
    a, b = F.col(left).cast("double"), F.col(right).cast("double")
    larger = F.greatest(F.abs(a), F.abs(b))
    return F.coalesce(F.when(larger > 0, F.abs(a - b) / larger), F.lit(0.0))

"""Why the layers differ: the speed layer's answer is derived again from the events that it counted."""

from __future__ import annotations

from functools import reduce
from typing import List

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.interval import Interval
from jobs.layers import interval_rows
from jobs.parity import outcomes
from jobs.pipeline import Pipeline
from jobs.verdicts import ACCEPTED_LOSS, BEFORE_STREAM, LATE, NOT_YET_READ, OTHER_VERSION, REDECODED, UNEXPLAINED

__all__ = ["Causes"]

# The first that makes a difference to a key is the one it is counted under.
_ORDER = (LATE, ACCEPTED_LOSS, BEFORE_STREAM, OTHER_VERSION, REDECODED, NOT_YET_READ)


class Causes:
    """Explains differences of one interval.

    `events`: the interval's, marked with `_lacks` (see `jobs.speed_reads.mark`). `batch` and `speed` are the
    rows that were compared. `otherwise`: what to call a difference that the events do not explain.
    """

    def __init__(
        self,
        events: DataFrame,
        batch: DataFrame,
        speed: DataFrame,
        pipeline: Pipeline,
        interval: Interval,
        otherwise: str = UNEXPLAINED,
    ) -> None:
        self._events = events
        self._batch = batch
        self._speed = speed
        self._pipeline = pipeline
        self._interval = interval
        self._otherwise = otherwise

    def find(self, differing: DataFrame) -> DataFrame:
        """Adds `cause` to keys that differ.

        A difference is explained when the transformation of the events that the speed layer counted gives the speed
        layer's row: with the redecoded records or without them, for it is not known whether its decoder read them. Its
        cause is then the first kind of the other events without which batch would answer otherwise; where that takes
        several kinds together, the first kind there is.
        """
        present = self._present()
        flagged = self._flag(differing, "_unexplained", self._rows("_lacks IS NULL"), self._speed)
        if REDECODED in present:
            flagged = self._flag(flagged, "_also", self._rows("_lacks_if_decoded IS NULL"), self._speed)
            flagged = flagged.withColumn("_unexplained", F.col("_unexplained") & F.col("_also")).drop("_also")
        for number, kind in enumerate(present):
            flagged = self._flag(flagged, f"_kind_{number}", self._rows(f"NOT (_lacks <=> '{kind}')"), self._batch)
        cause = F.when(F.col("_unexplained"), self._otherwise)
        for number, kind in enumerate(present):
            cause = cause.when(F.col(f"_kind_{number}"), kind)
        cause = cause.otherwise(present[0] if present else self._otherwise)
        return flagged.select(*differing.columns, cause.alias("cause"))

    def _present(self) -> List[str]:
        found = {row["_lacks"] for row in self._events.select("_lacks").distinct().collect()}
        return [kind for kind in _ORDER if kind in found]

    def _rows(self, which: str) -> DataFrame:
        """What the transformation makes of some of the events."""
        return interval_rows(self._events.where(which), self._pipeline, self._interval)

    def _flag(self, differing: DataFrame, flag: str, rows: DataFrame, others: DataFrame) -> DataFrame:
        """Adds `flag`: whether `rows` and `others` differ at the key."""
        outcome = outcomes(rows, others, self._pipeline).where("outcome <> 'equal'")
        renamed = [F.col(name).alias(f"_other_{name}") for name in self._pipeline.key]
        differ = outcome.select(*renamed, F.lit(True).alias("_differs"))
        same = [F.col(name).eqNullSafe(F.col(f"_other_{name}")) for name in self._pipeline.key]
        joined = differing.join(differ, reduce(lambda a, b: a & b, same), "left")
        return joined.select(*differing.columns, F.coalesce("_differs", F.lit(False)).alias(flag))

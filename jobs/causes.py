"""Why the layers differ: the speed layer's answer is derived again from the events that it counted."""

from __future__ import annotations

from functools import reduce
from typing import Callable, Collection, Optional

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.derivation import Derivation
from jobs.parity import outcomes
from jobs.pipeline import Pipeline
from jobs.verdicts import (
    ACCEPTED_LOSS,
    BEFORE_STREAM,
    LATE,
    NOT_YET_CLOSED,
    NOT_YET_READ,
    OTHER_VERSION,
    REDECODED,
    UNEXPLAINED,
)

__all__ = ["Causes"]

# The first that makes a difference to a key is the one it is counted under.
_ORDER = (LATE, ACCEPTED_LOSS, BEFORE_STREAM, OTHER_VERSION, REDECODED, NOT_YET_READ, NOT_YET_CLOSED)


class Causes:
    """Explains differences of one interval.

    `batch` and `speed` are the rows that were compared. `derive` gives the derivation for keys that differ. `touched`:
    the keys whose speed row may hold events that the archive has lost (see `jobs.lost_events`); None: no key's does.
    """

    def __init__(
        self,
        batch: DataFrame,
        speed: DataFrame,
        pipeline: Pipeline,
        derive: Callable[[DataFrame], Derivation],
        touched: Optional[DataFrame] = None,
    ) -> None:
        self._batch = batch
        self._speed = speed
        self._pipeline = pipeline
        self._derive = derive
        self._derivation: Optional[Derivation] = None
        self._touched = touched

    def find(self, differing: DataFrame) -> DataFrame:
        """Adds `cause` to keys that differ.

        A difference is explained when the transformation of the events that the speed layer counted gives the speed
        layer's row: with the redecoded records or without them, for it is not known whether its decoder read them. Its
        cause is then the first kind of the other events without which batch would answer otherwise; where that takes
        several kinds together, the first kind there is. Where the events of a hole (see `jobs.speed_reads.mark`) would
        have changed the speed layer's row, nothing explains the difference, whatever else the row lacks; nor where the
        transformation of all events does not give batch's answer again: its row, or that it has none. A row of the
        speed layer that cannot be derived again has the cause *accepted loss* where lost events may be in it.
        """
        self.release()
        derived = self._derivation = self._derive(differing)
        found = derived.kinds()
        present = [kind for kind in _ORDER if kind in found]
        flagged = self._flag_underived(differing, derived, found)
        flagged = self._flag(flagged, "_is_unsteady", derived.batch(), self._batch)
        for number, kind in enumerate(present):
            flagged = self._flag(flagged, f"_kind_{number}", derived.batch_without(kind), self._batch)
        cause = F.when(F.col("_is_in_hole") | F.col("_is_unsteady"), UNEXPLAINED)
        cause = cause.when(F.col("_is_underived"), F.when(F.col("_is_touched"), ACCEPTED_LOSS).otherwise(UNEXPLAINED))
        for number, kind in enumerate(present):
            cause = cause.when(F.col(f"_kind_{number}"), kind)
        cause = cause.otherwise(present[0] if present else UNEXPLAINED)
        return flagged.select(*differing.columns, cause.alias("cause"))

    def _flag_underived(self, differing: DataFrame, derived: Derivation, found: Collection[str]) -> DataFrame:
        """Adds `_is_underived`: whether the events that the speed layer counted do not give its row; `_is_in_hole`:
        whether those of a hole would have changed it; `_is_touched`: whether it may hold lost events."""
        counted = derived.speed("_lacks")
        flagged = self._flag(differing, "_is_underived", counted, self._speed)
        if REDECODED in found:
            flagged = self._flag(flagged, "_also", derived.speed("_lacks_if_decoded"), self._speed)
            flagged = flagged.withColumn("_is_underived", F.col("_is_underived") & F.col("_also")).drop("_also")
        if UNEXPLAINED in found:
            flagged = self._flag(flagged, "_is_in_hole", derived.speed("_lacks_if_read"), counted)
        else:
            flagged = flagged.withColumn("_is_in_hole", F.lit(False))
        if self._touched is None:
            return flagged.withColumn("_is_touched", F.lit(False))
        return self._flag_keys(flagged, "_is_touched", self._touched)

    def release(self) -> None:
        """Frees what is cached, once what was found is no longer needed."""
        if self._derivation is not None:
            self._derivation.release()

    def _flag(self, differing: DataFrame, flag: str, rows: DataFrame, others: DataFrame) -> DataFrame:
        """Adds `flag`: whether `rows` and `others` differ at the key."""
        return self._flag_keys(differing, flag, outcomes(rows, others, self._pipeline).where("outcome <> 'equal'"))

    def _flag_keys(self, differing: DataFrame, flag: str, keys: DataFrame) -> DataFrame:
        """Adds `flag`: whether the key is one of these, which are distinct."""
        renamed = [F.col(name).alias(f"_other_{name}") for name in self._pipeline.key]
        listed = keys.select(*renamed, F.lit(True).alias("_is_listed"))
        same = [F.col(name).eqNullSafe(F.col(f"_other_{name}")) for name in self._pipeline.key]
        joined = differing.join(listed, reduce(lambda a, b: a & b, same), "left")
        return joined.select(*differing.columns, F.coalesce("_is_listed", F.lit(False)).alias(flag))

"""What two versions of a pipeline answer, compared row by row, without Spark."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.catch_up import whole_intervals
from millrace.lake.declared import declared
from millrace.lake.published import all_publications
from millrace.lake.tables import open_table, query_tables
from millrace.lake.version_sql import Answer, comparison_sql, value_count_sql
from millrace.lake.versions import speed_intervals

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["OUTCOMES", "IntervalComparison", "VersionComparison", "compare_versions"]

OUTCOMES = ("equal", "different", "only_a", "only_b")


@dataclass(frozen=True)
class IntervalComparison:
    """Rows of one interval (its id) by outcome. `layer_a`, `layer_b`: who answers, batch or speed; None: nobody.
    `partial_a`, `partial_b`: whether the answer is a run that was published as partial.

    `worst`: the keys that differ most, each with `key`, `outcome`, and the values that differ by column, (A's, B's).
    """

    interval: str
    layer_a: str | None
    layer_b: str | None
    equal: int
    different: int
    only_a: int
    only_b: int
    partial_a: bool = False
    partial_b: bool = False
    worst: tuple[dict[str, Any], ...] = ()

    @property
    def is_equal(self) -> bool:
        return not (self.different or self.only_a or self.only_b)


@dataclass(frozen=True)
class VersionComparison:
    """`columns_only_a` (`_b`): columns in which the other version has no value at all; they are not compared."""

    version_a: str
    version_b: str
    columns_only_a: tuple[str, ...]
    columns_only_b: tuple[str, ...]
    intervals: tuple[IntervalComparison, ...]

    @property
    def shared(self) -> list[IntervalComparison]:
        """The intervals that both versions answer."""
        return [each for each in self.intervals if each.layer_a and each.layer_b]

    @property
    def is_equal(self) -> bool:
        """Whether both answer the same wherever both answer."""
        return not self.columns_only_a and not self.columns_only_b and all(each.is_equal for each in self.shared)


def compare_versions(
    environment: Environment,
    pipeline: Pipeline,
    version_a: str,
    version_b: str,
    start: datetime | None = None,
    end: datetime | None = None,
    worst: int = 3,
) -> VersionComparison:
    """The versions' answers, interval by interval; only intervals that begin in `[start, end)`.

    A version answers an interval by the run that it has published, else by its newest speed rows, which move on while
    its stream runs: of an interval that has not ended, differences may be of time alone. What its stream has read only
    in part, because it began behind it, it does not answer. Rows are matched by the
    pipeline's key; floating point columns compare within its relative tolerance, all others exactly; null equals null.
    `worst` keys are listed per interval. Each table is read as of one moment, one interval at a time.

    A version that has left nothing answers nothing. Raises UsageError where the versions have different keys, or one
    lacks a key column.
    """
    pipeline = _of_one_key(environment, pipeline, version_a, version_b)
    answers_a, answers_b = _answers(environment, pipeline, (version_a, version_b), start, end)
    tables = _Tables(environment, pipeline)
    only_a, only_b = tables.one_sided_columns(answers_a, answers_b)
    for version, lacking in ((version_a, only_b), (version_b, only_a)):
        if found := [name for name in lacking if name in pipeline.key]:
            raise UsageError(
                f"pipeline {pipeline.name!r}: version {version} has no values in key column {found[0]!r}, so its rows"
                " cannot be matched; compare versions with one key"
            )
    intervals = [
        tables.compare(interval, answers_a.get(interval), answers_b.get(interval), (*only_a, *only_b), worst)
        for interval in sorted({*answers_a, *answers_b})
    ]
    return VersionComparison(version_a, version_b, tuple(only_a), tuple(only_b), tuple(intervals))


def _of_one_key(environment: Environment, pipeline: Pipeline, version_a: str, version_b: str) -> Pipeline:
    """The pipeline with the key of both versions."""
    key_a, key_b = (declared(environment, pipeline, version).key for version in (version_a, version_b))
    if set(key_a) != set(key_b):
        raise UsageError(
            f"pipeline {pipeline.name!r}: the key of version {version_a} is ({', '.join(key_a)}), that of {version_b}"
            f" ({', '.join(key_b)}), so their rows cannot be matched; compare versions with one key"
        )
    return replace(pipeline, key=key_a)


def _answers(
    environment: Environment, pipeline: Pipeline, versions: Sequence[str], start: datetime | None, end: datetime | None
) -> list[dict[str, Answer]]:
    """Of each version: who answers an interval."""
    published, speed = all_publications(environment, pipeline), speed_intervals(environment, pipeline)

    def is_wanted(interval: str) -> bool:
        begins = Interval.parse(interval, pipeline.interval).start
        return (start is None or start <= begins) and (end is None or begins < end)

    found = []
    for version in versions:
        whole = whole_intervals(environment, pipeline, version, speed.get(version, ()))
        by_speed = {interval: Answer(interval, "speed", version) for interval in whole}
        mine = [each for each in published if each.version == version]
        by_batch = {p.interval.id: Answer(p.interval.id, "batch", p.run, bool(p.partial)) for p in mine}
        found.append({key: answer for key, answer in {**by_speed, **by_batch}.items() if is_wanted(key)})
    return found


class _Tables:
    """Both layers' tables as of one version each."""

    def __init__(self, environment: Environment, pipeline: Pipeline) -> None:
        lake = Lake(environment.lake)
        uris = {"batch": lake.batch(pipeline.name), "speed": lake.speed(pipeline.name)}
        opened = {layer: open_table(environment, uri) for layer, uri in uris.items()}
        self._tables: dict[str, DeltaTable] = {layer: table for layer, table in opened.items() if table is not None}
        self._pipeline = pipeline

    @cached_property
    def _columns(self) -> dict[str, dict[str, str]]:
        """Per layer its columns, less Millrace's own, and the names of their types."""
        return {
            layer: {
                field.name: str(getattr(field.type, "type", ""))
                for field in table.schema().fields
                if not field.name.startswith("_")
            }
            for layer, table in self._tables.items()
        }

    def one_sided_columns(self, a: dict[str, Answer], b: dict[str, Answer]) -> tuple[list[str], list[str]]:
        """Columns with values in A's rows and none in B's; and the other way round. None where a side has no rows."""
        has_a, has_b = self._with_values(a), self._with_values(b)
        if has_a is None or has_b is None:
            return [], []
        return [name for name in has_a if name not in has_b], [name for name in has_b if name not in has_a]

    def compare(
        self, interval: str, a: Answer | None, b: Answer | None, left_out: Sequence[str], worst: int
    ) -> IntervalComparison:
        sql = comparison_sql(self._pipeline, self._columns, a, b, left_out)
        rows = query_tables(self._tables, f"{sql} SELECT outcome, count(*) AS found FROM compared GROUP BY outcome")
        counts = dict.fromkeys(OUTCOMES, 0) | {row["outcome"]: row["found"] for row in rows}
        layers = a.layer if a else None, b.layer if b else None
        partial_a, partial_b = bool(a and a.is_partial), bool(b and b.is_partial)
        found = IntervalComparison(interval, *layers, **counts, partial_a=partial_a, partial_b=partial_b)
        if found.is_equal or not (a and b and worst):
            return found
        keys = ", ".join(f'"key_{name}"' for name in self._pipeline.key)
        order = f"WHERE outcome <> 'equal' ORDER BY magnitude DESC, {keys} LIMIT {worst}"
        listed = query_tables(self._tables, f"{sql} SELECT * FROM compared {order}")
        return replace(found, worst=tuple(map(self._difference, listed)))

    def _with_values(self, answers: dict[str, Answer]) -> list[str] | None:
        """The columns with a value in any of the rows; None where there are no rows."""
        rows = 0
        found: dict[str, int] = {}
        for layer, sql in value_count_sql(self._columns, list(answers.values())).items():
            (counts,) = query_tables({layer: self._tables[layer]}, sql)
            rows += counts.pop("_rows")
            found |= {name: found.get(name, 0) + count for name, count in counts.items()}
        return [name for name, count in found.items() if count] if rows else None

    def _difference(self, row: dict[str, Any]) -> dict[str, Any]:
        names = [name.removeprefix("a_") for name in row if name.startswith("a_")]
        pairs = {name: (row[f"a_{name}"], row[f"b_{name}"]) for name in names}
        return {
            "key": {name: row[f"key_{name}"] for name in self._pipeline.key},
            "outcome": row["outcome"],
            "values": {name: pair for name, pair in pairs.items() if _differ(*pair, self._pipeline.float_tolerance)},
        }


def _differ(a: Any, b: Any, tolerance: float) -> bool:
    if isinstance(a, float) and isinstance(b, float):
        return not (math.isclose(a, b, rel_tol=tolerance) or (math.isnan(a) and math.isnan(b)))
    return bool(a != b)

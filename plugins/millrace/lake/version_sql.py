"""The SQL that compares two versions' answers, in DataFusion's dialect, over the tables `batch` and `speed`."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from jobs.pipeline import Pipeline
from millrace.lake.view import newest_rows

__all__ = ["Answer", "comparison_sql", "value_count_sql"]

_FLOATING = ("float", "double")
_NUMERIC = ("byte", "short", "integer", "long", *_FLOATING)

_NAMED_BY = {"batch": "_run", "speed": "_version"}

Columns = Mapping[str, Mapping[str, str]]


@dataclass(frozen=True)
class Answer:
    """Who answers an interval: the layer, batch or speed, and in it the run, which may be partial, or the version."""

    interval: str
    layer: str
    name: str
    is_partial: bool = False

    @property
    def where(self) -> str:
        """Selects its rows: of the speed layer every update."""
        return f"_interval = '{self.interval}' AND {_NAMED_BY[self.layer]} = '{self.name}'"


def comparison_sql(
    pipeline: Pipeline, columns: Columns, a: Answer | None, b: Answer | None, left_out: Sequence[str]
) -> str:
    """A WITH clause that ends in `compared`: a row per key of either side.

    `outcome` is equal, different, only_a or only_b, `magnitude` the greatest relative difference of a numeric column (1
    where a side has no row); `key_<column>`, and `a_<column>`, `b_<column>` are the values. `columns`: the columns and
    types of each layer's table, without Millrace's own.
    """
    types = {name: kind for layer in columns.values() for name, kind in layer.items()}
    types = {name: kind for name, kind in types.items() if name not in left_out}
    values = [name for name in types if name not in pipeline.key]
    equal = [_equal(name, pipeline.float_tolerance if types[name] in _FLOATING else None) for name in values]
    distances = [_distance(name) for name in values if _is_numeric(types[name])]
    matched = " AND ".join(f'(a."{name}" IS NOT DISTINCT FROM b."{name}")' for name in pipeline.key)
    selected = [
        *(f'CASE WHEN a._here IS NULL THEN b."{name}" ELSE a."{name}" END AS "key_{name}"' for name in pipeline.key),
        "CASE WHEN b._here IS NULL THEN 'only_a' WHEN a._here IS NULL THEN 'only_b'"
        f" WHEN {' AND '.join(equal) or 'true'} THEN 'equal' ELSE 'different' END AS outcome",
        "CASE WHEN a._here IS NULL OR b._here IS NULL THEN 1.0"
        f" ELSE greatest({', '.join(['CAST(0 AS DOUBLE)', *distances])}) END AS magnitude",
        *(f'{side}."{name}" AS "{side}_{name}"' for side in "ab" for name in values),
    ]
    sides = ", ".join(f"{side} AS ({_side(pipeline, columns, answer, types)})" for side, answer in (("a", a), ("b", b)))
    return f"WITH {sides}, compared AS (SELECT {', '.join(selected)} FROM a FULL JOIN b ON {matched})"


def value_count_sql(columns: Columns, answers: Sequence[Answer]) -> dict[str, str]:
    """By layer: how many rows there are behind these answers (`_rows`), and how many have a value in each column."""
    found = {}
    for layer, has in columns.items():
        mine = [answer for answer in answers if answer.layer == layer]
        pairs = ", ".join(f"('{answer.interval}', '{answer.name}')" for answer in mine)
        where = f"(_interval, {_NAMED_BY[layer]}) IN ({pairs})" if mine else "false"
        counts = ", ".join(["count(*) AS _rows", *(f'count("{name}") AS "{name}"' for name in has)])
        found[layer] = f"SELECT {counts} FROM {layer} WHERE {where}"
    return found


def _side(pipeline: Pipeline, columns: Columns, answer: Answer | None, types: Mapping[str, str]) -> str:
    """The rows of an answer, with `_here`; none of no answer, or where its layer has no table."""
    layer = answer.layer if answer and answer.layer in columns else next(iter(columns))
    selected = ", ".join(_column(name, kind, columns[layer]) for name, kind in types.items())
    if answer is None or answer.layer != layer:
        rows = f"{layer} WHERE false"
    else:
        rows = newest_rows(pipeline, layer, answer.where) if layer == "speed" else f"{layer} WHERE {answer.where}"
    return f"SELECT {selected}, true AS _here FROM {rows}"


def _column(name: str, kind: str, has: Collection[str]) -> str:
    if name in has:
        return f'"{name}"'
    return f'{"CAST(NULL AS DOUBLE)" if _is_numeric(kind) else "NULL"} AS "{name}"'


def _equal(name: str, tolerance: float | None) -> str:
    a, b = f'a."{name}"', f'b."{name}"'
    same = f"({a} IS NOT DISTINCT FROM {b})"
    if tolerance is None:
        return same
    larger = f"greatest(abs({a}), abs({b}))"
    # NaN is greater than infinity here, and both are "near" everything by the plain formula.
    near = f"{larger} < CAST('Infinity' AS DOUBLE) AND abs({a} - {b}) <= {larger} * {tolerance!r}"
    return f"({same} OR coalesce({near}, false))"


def _distance(name: str) -> str:
    a, b = f'CAST(a."{name}" AS DOUBLE)', f'CAST(b."{name}" AS DOUBLE)'
    larger = f"greatest(abs({a}), abs({b}))"
    return f"coalesce(CASE WHEN {larger} > 0 THEN abs({a} - {b}) / {larger} END, CAST(0 AS DOUBLE))"


def _is_numeric(kind: str) -> bool:
    return kind in _NUMERIC or kind.startswith("decimal")

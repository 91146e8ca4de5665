"""A pipeline's serving view as an Arrow table, without Spark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.accepted_losses import AcceptedLoss, lossy
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.accepted_loss import accepted
from millrace.lake.declared import declared
from millrace.lake.published import Publication, all_publications, served_publications
from millrace.lake.serving import preferred_versions
from millrace.lake.tables import open_table

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = ["newest_rows", "read_view"]


def read_view(
    environment: Environment, pipeline: Pipeline, start: datetime | None = None, end: datetime | None = None
) -> pa.Table:
    """The pipeline's rows with `row_time` in `[start, end)`, sorted by key, each with its `_layer`: batch or speed.

    `_partial` marks the rows of intervals that were published from an archive that was not proven complete, and of
    those, published or not, of which something was accepted as lost; of speed rows also those that may lack what their
    stream has skipped. `_version` is the version that answers. Batch rows of the served runs (see `publications`), and
    of the intervals without one the newest speed rows of the served version. `serving` is read first, then `published`,
    the other tables after them: no interval is missing or doubled while one is being published or another version is
    switched to. `key` and `row_time` are those that the version of a row declared; the rows are sorted by the served
    version's. The result has no columns before either layer has written a row.
    """
    import pyarrow as pa

    versions = preferred_versions(environment, pipeline)
    served = served_publications(all_publications(environment, pipeline), versions)
    declarations = {each: declared(environment, pipeline, each) for each in {versions[0], *(p.version for p in served)}}
    batch = _batch(environment, declarations, served, start, end)
    speed = _speed(environment, declarations[versions[0]], versions[0], served, start, end)
    found = [part for part in (batch, speed) if part is not None]
    if not found:
        return pa.table({})
    rows = pa.concat_tables(found, promote_options="permissive")
    key = [name for name in declarations[versions[0]].key if name in rows.column_names]
    return rows.sort_by([(name, "ascending") for name in key]) if key else rows


def newest_rows(pipeline: Pipeline, table: str, where: str) -> str:
    """SQL for FROM: the newest row per key of one version's log of updates; ends in a WHERE clause."""
    key = ", ".join(f'"{name}"' for name in ("_interval", *pipeline.key))
    newest = f"row_number() OVER (PARTITION BY {key} ORDER BY _batch_id DESC)"
    return f"(SELECT *, {newest} AS _newest FROM {table} WHERE {where}) WHERE _newest = 1"


def _batch(
    environment: Environment,
    declarations: Mapping[str, Pipeline],
    served: list[Publication],
    start: datetime | None,
    end: datetime | None,
) -> pa.Table | None:
    wanted = [each for each in served if _overlaps(each.interval, start, end)]
    table = open_table(environment, Lake(environment.lake).batch(wanted[0].pipeline)) if wanted else None
    if table is None:
        return None
    runs: dict[str, list[str]] = {}
    for each in wanted:
        bounds = _bounds(declarations[each.version], start, end)
        runs.setdefault(bounds, []).append(f"('{each.interval.id}', '{each.run}')")
    inside = [f"((_interval, _run) IN ({', '.join(found)}){bounds})" for bounds, found in runs.items()]
    rows = f"rows WHERE {' OR '.join(inside)}"
    partial = _among(each.interval.id for each in wanted if each.partial)
    return _query(table, f"{_columns(table)}, 'batch' AS _layer, {partial} AS _partial, {_version(wanted)}", rows)


def _speed(
    environment: Environment,
    pipeline: Pipeline,
    version: str,
    served: list[Publication],
    start: datetime | None,
    end: datetime | None,
) -> pa.Table | None:
    table = open_table(environment, Lake(environment.lake).speed(pipeline.name))
    if table is None:
        return None
    where = f"_version = '{version}' AND NOT {_among(each.interval.id for each in served)}"
    rows = newest_rows(pipeline, "rows", where + _bounds(pipeline, start, end))
    found = _query(table, f"{_columns(table)}, 'speed' AS _layer, false AS _partial, _version", rows)
    return _with_losses(found, pipeline, version, accepted(environment, pipeline.topic.name))


def _with_losses(rows: pa.Table, pipeline: Pipeline, version: str, losses: list[AcceptedLoss]) -> pa.Table:
    """Rows of the version's speed layer, marked as partial where their interval may lack what was accepted as lost."""
    import pyarrow as pa
    import pyarrow.compute as pc

    partial = lossy(losses, pipeline, version, rows["_interval"].unique().to_pylist())
    marks = pc.is_in(rows["_interval"], pa.array(partial, pa.string()))
    return rows.set_column(rows.schema.get_field_index("_partial"), "_partial", marks)


def _query(table: DeltaTable, columns: str, rows: str) -> pa.Table:
    from deltalake import QueryBuilder

    return _plain(QueryBuilder().register("rows", table).execute(f"SELECT {columns} FROM {rows}").read_all())


def _columns(table: DeltaTable) -> str:
    """Those of the view, less its own."""
    names = [field.name for field in table.schema().fields]
    return ", ".join(f'"{name}"' for name in names if name not in ("_batch_id", "_version", "_run"))


def _version(served: list[Publication]) -> str:
    """Which version serves the row's interval."""
    intervals: dict[str, list[str]] = {}
    for each in served:
        intervals.setdefault(each.version, []).append(each.interval.id)
    cases = " ".join(f"WHEN {_among(found)} THEN '{version}'" for version, found in intervals.items())
    return f"CASE {cases} END AS _version"


def _among(intervals: Iterable[str]) -> str:
    """Whether the row's interval is one of these."""
    listed = ", ".join(f"'{interval}'" for interval in sorted(intervals))
    return f"(_interval IN ({listed}))" if listed else "false"


def _plain(rows: object) -> pa.Table:
    """DataFusion answers with string views, which Arrow's sort (and pandas) cannot take."""
    import pyarrow as pa

    table = pa.table(rows)
    plain = {pa.string_view(): pa.string(), pa.binary_view(): pa.binary()}
    return table.cast(pa.schema([field.with_type(plain.get(field.type, field.type)) for field in table.schema]))


def _bounds(pipeline: Pipeline, start: datetime | None, end: datetime | None) -> str:
    limits = ((start, ">="), (end, "<"))
    return "".join(
        f" AND \"{pipeline.row_time}\" {sign} TIMESTAMP '{moment.isoformat()}'" for moment, sign in limits if moment
    )


def _overlaps(interval: Interval, start: datetime | None, end: datetime | None) -> bool:
    return (end is None or interval.start < end) and (start is None or start < interval.end)

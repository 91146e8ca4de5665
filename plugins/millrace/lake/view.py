"""A pipeline's serving view as an Arrow table, without Spark."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.published import Publication, publications
from millrace.lake.tables import open_table

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["read_view"]


def read_view(
    environment: Environment, pipeline: Pipeline, start: datetime | None = None, end: datetime | None = None
) -> pa.Table:
    """The pipeline's rows with `row_time` in `[start, end)`, sorted by key, each with its `_layer`: batch or speed.

    `_partial` marks the rows of intervals that were published from an archive that was not proven complete.
    Batch rows of the published runs, and the newest speed rows of the intervals that are not published. `published` is
    read first and the other tables after it, so no interval is missing or doubled while one is being published. The
    result has no columns before either layer has written a row.
    """
    import pyarrow as pa

    served = publications(environment, pipeline)
    batch = _batch(environment, pipeline, served, start, end)
    speed = _speed(environment, pipeline, served, start, end)
    found = [part for part in (batch, speed) if part is not None]
    if not found:
        return pa.table({})
    order = [(name, "ascending") for name in pipeline.key]
    return pa.concat_tables(found, promote_options="permissive").sort_by(order)


def _batch(
    environment: Environment,
    pipeline: Pipeline,
    served: list[Publication],
    start: datetime | None,
    end: datetime | None,
) -> pa.Table | None:
    runs = [(p.interval, p.run) for p in served if _overlaps(p.interval, start, end)]
    if not runs:
        return None
    listed = ", ".join(f"('{interval.id}', '{run}')" for interval, run in runs)
    where = f"(_interval, _run) IN ({listed})"
    partial = {p.interval.id for p in served if p.partial}
    uri = Lake(environment.lake).batch(pipeline.name)
    return _query(environment, pipeline, uri, where, "batch", start, end, partial)


def _speed(
    environment: Environment,
    pipeline: Pipeline,
    served: list[Publication],
    start: datetime | None,
    end: datetime | None,
) -> pa.Table | None:
    where = f"_version = '{fingerprint(pipeline)}'"
    if served:
        where += f" AND _interval NOT IN ({', '.join(repr(p.interval.id) for p in served)})"
    return _query(environment, pipeline, Lake(environment.lake).speed(pipeline.name), where, "speed", start, end)


def _query(
    environment: Environment,
    pipeline: Pipeline,
    uri: str,
    where: str,
    layer: str,
    start: datetime | None,
    end: datetime | None,
    partial: Collection[str] = (),
) -> pa.Table | None:
    table = open_table(environment, uri)
    if table is None:
        return None
    from deltalake import QueryBuilder

    names = [field.name for field in table.schema().fields]
    columns = ", ".join(f'"{name}"' for name in names if name not in ("_batch_id", "_version", "_run"))
    key = ", ".join(f'"{name}"' for name in ("_interval", *pipeline.key))
    newest = f"row_number() OVER (PARTITION BY {key} ORDER BY _batch_id DESC)" if layer == "speed" else "1"
    bounds = _bounds(pipeline, start, end)
    is_partial = f"_interval IN ({', '.join(map(repr, sorted(partial)))})" if partial else "false"
    sql = (
        f"SELECT {columns}, '{layer}' AS _layer, {is_partial} AS _partial"
        f" FROM (SELECT *, {newest} AS _newest FROM rows WHERE {where}{bounds}) WHERE _newest = 1"
    )
    return _plain(QueryBuilder().register("rows", table).execute(sql).read_all())


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

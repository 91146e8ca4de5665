"""Delta tables of the lake through delta-rs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from millrace.environment import Environment

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["open_table", "query"]


def open_table(environment: Environment, uri: str, version: int | None = None) -> DeltaTable | None:
    """The table as of a version, by default the newest, or None when there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(uri, version=version, storage_options=environment.delta_options())
    except TableNotFoundError:
        return None


def query(table: DeltaTable, sql: str) -> list[dict[str, Any]]:
    """Rows of a query of the table, which it calls `rows`."""
    import pyarrow as pa
    from deltalake import QueryBuilder

    found: list[dict[str, Any]] = pa.table(QueryBuilder().register("rows", table).execute(sql).read_all()).to_pylist()
    return found

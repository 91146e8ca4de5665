"""Delta tables of the lake through delta-rs."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from millrace.environment import Environment

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable, PostCommitHookProperties

__all__ = [
    "arrow",
    "binned",
    "delete_old_files",
    "no_log_upkeep",
    "open_table",
    "query",
    "query_tables",
    "query_version",
]

# What delta-rs says of a version whose commits or whose files were deleted.
_GONE = ("No files in log segment", "No table metadata or protocol found", "Object at location")


def open_table(environment: Environment, uri: str) -> DeltaTable | None:
    """The table as it is now, or None when there is no table."""
    from deltalake import DeltaTable
    from deltalake.exceptions import TableNotFoundError

    try:
        return DeltaTable(uri, storage_options=environment.delta_options())
    except TableNotFoundError:
        return None


def query_version(environment: Environment, uri: str, version: int, sql: str) -> list[dict[str, Any]] | None:
    """Rows of a query of the table as of a version; None where that is not kept any more: its log, or a file of it."""
    from deltalake import DeltaTable

    try:
        return query(DeltaTable(uri, version=version, storage_options=environment.delta_options()), sql)
    except Exception as error:  # what the engine of queries raises has no class of its own
        if any(words in str(error) for words in _GONE):
            return None
        raise


def delete_old_files(environment: Environment, uri: str) -> int:
    """Deletes the files that left the table long enough ago: as its property `delta.deletedFileRetentionDuration` says,
    by default a week. Returns how many; 0 where there is no table. Files that never were in it stay.
    """
    table = open_table(environment, uri)
    return 0 if table is None else len(table.vacuum(dry_run=False, post_commithook_properties=no_log_upkeep()))


def no_log_upkeep() -> PostCommitHookProperties:
    """For commits to a stream's table: checkpoints of its log stay Spark's business, for in them is which micro-batches
    are written."""
    from deltalake import PostCommitHookProperties

    return PostCommitHookProperties(create_checkpoint=False, cleanup_expired_logs=False)


def query(table: DeltaTable, sql: str) -> list[dict[str, Any]]:
    """Rows of a query of the table, which it calls `rows`."""
    return query_tables({"rows": table}, sql)


def query_tables(tables: Mapping[str, DeltaTable], sql: str) -> list[dict[str, Any]]:
    """Rows of a query of several tables, by the names that it calls them."""
    found: list[dict[str, Any]] = arrow(tables, sql).to_pylist()
    return found


def arrow(tables: Mapping[str, DeltaTable], sql: str) -> pa.Table:
    """The same as a table, for many rows; its times are in microseconds, UTC."""
    import pyarrow as pa
    from deltalake import QueryBuilder

    builder = QueryBuilder()
    for name, table in tables.items():
        builder.register(name, table)
    rows = pa.table(builder.execute(sql).read_all())
    # DataFusion computes times in nanoseconds, which Python's do not have.
    plain = {pa.timestamp("ns", tz=zone): pa.timestamp("us", tz="UTC") for zone in ("UTC", "+00:00")}
    return rows.cast(pa.schema([field.with_type(plain.get(field.type, field.type)) for field in rows.schema]))


def binned(event_time: str, length: timedelta) -> str:
    """SQL: where the span of this length, counted from the epoch, begins that holds an event's time.

    To select by time, compare this: Spark cuts its statistics of a timestamp to milliseconds, so a bound on the time
    itself could leave a file out.
    """
    span = f"INTERVAL '{int(length.total_seconds() * 1000)} milliseconds'"
    return f"date_bin({span}, event['{event_time}'], TIMESTAMP '1970-01-01T00:00:00Z')"

"""The table `ledger/<topic>`: a row per entry, and one of kind `source` that says what the ledger has read."""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from jobs.lake import Lake
from millrace.environment import Environment
from millrace.lake.ledger.entries import Entry, Ledger, Source

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["create_ledger", "read_ledger", "write_ledger"]

_SOURCE = "source"
_SCHEMA = pa.schema(
    [
        ("kind", pa.string()),
        ("partition", pa.int32()),
        ("start", pa.int64()),
        ("end", pa.int64()),
        ("records", pa.int64()),
        ("found_at", pa.timestamp("us", tz="UTC")),
        ("detail", pa.string()),
        ("raw_version", pa.int64()),
    ]
)


def create_ledger(environment: Environment, topic: str) -> DeltaTable:
    """The topic's ledger, made empty where there is none."""
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import CommitFailedError

    uri, options = Lake(environment.lake).ledger(topic), environment.delta_options()
    # Without retries: two that create it at once would both commit, the later one over what the first has written.
    first = CommitProperties(max_commit_retries=0)
    with suppress(CommitFailedError):
        DeltaTable.create(uri, schema=_SCHEMA, mode="ignore", storage_options=options, commit_properties=first)
    return DeltaTable(uri, storage_options=options)


def read_ledger(table: DeltaTable, topic: str) -> Ledger | None:
    """What this version of the table holds; None before the first update."""
    rows = table.to_pyarrow_table().to_pylist()
    sources = [row for row in rows if row["kind"] == _SOURCE]
    if not sources:
        return None
    entries = [_entry(row) for row in rows if row["kind"] != _SOURCE]
    return Ledger(topic, _source(sources[0]), sorted(entries, key=_order))


def write_ledger(table: DeltaTable, ledger: Ledger) -> None:
    """Replaces the table's content in one commit.

    Raises deltalake's CommitFailedError when another has committed since `table` was opened.
    """
    from deltalake import CommitProperties, write_deltalake

    rows = [_source_row(ledger.source), *map(_row, sorted(ledger.entries, key=_order))]
    only_the_next_version = CommitProperties(max_commit_retries=0)
    content = pa.Table.from_pylist(rows, schema=_SCHEMA)
    write_deltalake(table, content, mode="overwrite", commit_properties=only_the_next_version)


def _order(entry: Entry) -> tuple[int, int, int]:
    return (entry.partition, entry.start, entry.end)


def _row(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "detail": json.dumps(entry.detail)}


def _entry(row: dict[str, Any]) -> Entry:
    return Entry(**{**row, "detail": json.loads(row["detail"])})


def _source_row(source: Source) -> dict[str, Any]:
    return {
        "kind": _SOURCE,
        "found_at": datetime.now(UTC),
        "detail": json.dumps(asdict(source)),
        "raw_version": source.raw_version,
    }


def _source(row: dict[str, Any]) -> Source:
    content = json.loads(row["detail"])
    offsets = {name: {int(p): o for p, o in content[name].items()} for name in ("begin", "coverage")}
    return Source(**{**content, **offsets})

"""Rows of a raw archive, decoded or not, written by delta-rs with the columns that the archive query gives them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pyarrow as pa
from deltalake import write_deltalake

from jobs.lake import Lake
from millrace.environment import Environment

RECEIVED = datetime(2026, 11, 20, 12, tzinfo=UTC)
_MOMENT = pa.timestamp("us", tz="UTC")
RAW_SCHEMA = pa.schema(
    [
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
        ("topic", pa.string()),
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", _MOMENT),
        ("timestamp_type", pa.int32()),
        ("archived_at", _MOMENT),
        ("event", pa.struct([("symbol", pa.string()), ("event_time", _MOMENT)])),
        ("error", pa.string()),
        ("event_date", pa.date32()),
        ("redecoded_at", _MOMENT),
    ]
)


def dead_letter(offset: int, value: bytes | None, error: str, **columns: Any) -> dict[str, Any]:
    """A row that could not be decoded, for `error`; received at RECEIVED unless `columns` says otherwise."""
    row = {"topic": "stock_ticks", "partition": 0, "offset": offset, "value": value, "error": error}
    return row | {"timestamp": RECEIVED, "timestamp_type": 0, "archived_at": RECEIVED} | columns


def event(offset: int, event_time: datetime, **columns: Any) -> dict[str, Any]:
    """A row that was decoded."""
    decoded = {"event": {"symbol": "A", "event_time": event_time}, "event_date": event_time.date()}
    return dead_letter(offset, b"{}", "") | {"error": None} | decoded | columns


def write_archive(environment: Environment, *rows: dict[str, Any]) -> None:
    """Appends the rows, as one micro-batch does."""
    write_deltalake(
        Lake(environment.lake).raw("stock_ticks"),
        pa.Table.from_pylist(list(rows), schema=RAW_SCHEMA),
        mode="append",
        partition_by=["event_date"],
        storage_options=environment.delta_options(),
    )

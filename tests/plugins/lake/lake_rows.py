"""Rows for the tables of a lake, written by delta-rs."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import pyarrow as pa
from deltalake import write_deltalake

from jobs.interval import Interval
from jobs.lake import Lake, speed_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.certificate import Certificate
from millrace.lake.store import LakeStore

FIRST = Interval.parse("2026-11-01", stock_high_low.interval)


def interval(number: int) -> Interval:
    found = FIRST
    for _ in range(number):
        found = found.following()
    return found


def certificate(raw_version: int) -> Certificate:
    return Certificate("stock_ticks", raw_version, {0: 10}, {0: 10}, "query", 1, datetime.now(UTC).isoformat())


def rows(of: Interval, high: int, count: int = 3, **columns: object) -> pa.Table:
    """`count` rows in consecutive windows of one interval, all with the same high."""
    starts = [of.start + timedelta(minutes=minute) for minute in range(count)]
    table = pa.table(
        {
            "symbol": ["A"] * count,
            "window_start": pa.array(starts, pa.timestamp("us", tz="UTC")),
            "high": pa.array([high] * count, pa.int64()),
            "_interval": [of.id] * count,
        }
    )
    for name, value in columns.items():
        table = table.append_column(name, pa.array([value] * count))
    return table


def write_batch(environment: Environment, of: Interval, run: str, high: int) -> None:
    _append(environment, Lake(environment.lake).batch("stock_high_low"), rows(of, high, _run=run))


def write_speed(
    environment: Environment, of: Interval, batch_id: int, high: int, version: str | None = None, **columns: object
) -> None:
    version = version or fingerprint(stock_high_low)
    updates = rows(of, high, _batch_id=batch_id, _version=version, **columns)
    _append(environment, Lake(environment.lake).speed("stock_high_low"), updates)


def write_processed(environment: Environment, version: str, *offsets: int, topic: str = "stock_ticks") -> None:
    """The checkpoint of a speed stream that has committed everything below these offsets, one per partition."""
    ends = {topic: {str(partition): offset for partition, offset in enumerate(offsets)}}
    about = {"batchWatermarkMs": 0, "batchTimestampMs": 0}
    folder, store = Lake("").checkpoint(speed_query("stock_high_low"), version), LakeStore(environment)
    store.write(f"{folder}/offsets/0", f"v1\n{json.dumps(about)}\n{json.dumps(ends)}".encode())
    store.write(f"{folder}/commits/0", b"v1\n{}")


def _append(environment: Environment, uri: str, table: pa.Table) -> None:
    write_deltalake(uri, table, mode="append", partition_by=["_interval"], storage_options=environment.delta_options())

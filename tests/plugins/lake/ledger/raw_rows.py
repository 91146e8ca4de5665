"""A raw archive and its checkpoint as Spark writes them, as far as the ledger reads them. No Spark."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from datetime import UTC, date, datetime, timedelta

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from jobs.lake import RAW_VERSION, Lake, archive_query
from millrace.environment import Environment
from millrace.lake.store import LakeStore

QUERY = "11111111-2222-3333-4444-555555555555"
DAY = date(2026, 11, 1)
_UTC = pa.timestamp("us", tz="UTC")
FIRST = datetime(2020, 1, 1, tzinfo=UTC)


def new_topic() -> str:
    return f"t{uuid.uuid4().hex}"


def raw_uri(environment: Environment, topic: str) -> str:
    return Lake(environment.lake).raw(topic)


def open_raw(environment: Environment, topic: str) -> DeltaTable:
    return DeltaTable(raw_uri(environment, topic), storage_options=environment.delta_options())


def archive(
    environment: Environment, topic: str, offsets: Iterable[int], *, partition: int = 0, batch: int | None = None
) -> None:
    """One micro-batch of the archive query; even offsets on one day, odd ones dead letters, as two files.

    Record n has the Kafka timestamp `FIRST` + n minutes.
    """
    listed = list(offsets)
    rows = pa.table(
        {
            "value": pa.array([b"payload %d" % offset for offset in listed], pa.binary()),
            "partition": pa.array([partition] * len(listed), pa.int32()),
            "offset": pa.array(listed, pa.int64()),
            "timestamp": pa.array([FIRST + offset * timedelta(minutes=1) for offset in listed], _UTC),
            "event_date": pa.array([None if offset % 2 else DAY for offset in listed], pa.date32()),
        }
    )
    numbers = [] if batch is None else [Transaction(QUERY, batch)]
    write_deltalake(
        raw_uri(environment, topic),
        rows,
        mode="append",
        partition_by=["event_date"],
        storage_options=environment.delta_options(),
        commit_properties=CommitProperties(app_transactions=numbers),
    )


def write_checkpoint(environment: Environment, topic: str, first: dict[int, int], ends: dict[int, int]) -> None:
    """As Spark lays it out: `first` where the query began, `ends` what micro-batch 0 read up to."""
    folder = Lake("").checkpoint(archive_query(topic), RAW_VERSION)
    store = LakeStore(environment)
    store.write_json(f"{folder}/metadata", {"id": QUERY})
    # Spark begins this file with a zero byte, and ends none of them with a new line.
    store.write(f"{folder}/sources/0/0", b"\0v1\n" + json.dumps({topic: first}).encode())
    store.write(f"{folder}/offsets/0", b'v1\n{"batchWatermarkMs":0}\n' + json.dumps({topic: ends}).encode())

"""A million records, garbage among them, are in the raw archive exactly once, byte for byte."""

from __future__ import annotations

import dataclasses
import uuid
import zlib
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import TracebackType
from typing import Self

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from confluent_kafka import Message
from pyspark.sql import SparkSession

from jobs.archive import start_archive
from jobs.lake import Lake
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.tables import open_table
from millrace.producers import Record, Settings, generate, send
from millrace.producers.garbage import MAKERS
from millrace.stack.topics import ensure_topic

pytestmark = [pytest.mark.release, pytest.mark.stack]

COUNT = 1_000_000
# Few of each kind: one in seven of them has a value of 1 MB.
SETTINGS = Settings(
    start=datetime(2026, 11, 20, 22, tzinfo=UTC),
    rate=100,
    count=COUNT,
    late=0.01,
    disorder=0.01,
    duplicates=0.01,
    garbage=0.0005,
)
SENT = pa.schema(
    [
        ("partition", pa.int32()),
        ("offset", pa.int64()),
        ("timestamp", pa.timestamp("ms", "UTC")),
        ("key", pa.binary()),
        ("value", pa.binary()),
        ("headers", pa.list_(pa.struct([("key", pa.string()), ("value", pa.binary())]))),
    ]
)
DIFFERENCES = """
    SELECT "partition", "offset", s."offset" IS NULL AS unsent, a."offset" IS NULL AS unarchived,
           s.timestamp IS NOT DISTINCT FROM a.timestamp AS same_timestamp,
           s."key" IS NOT DISTINCT FROM a."key" AS same_key, s.value IS NOT DISTINCT FROM a.value AS same_value,
           s.headers IS NOT DISTINCT FROM a.headers AS same_headers
    FROM sent s FULL JOIN archived a USING ("partition", "offset")
    WHERE NOT (same_timestamp AND same_key AND same_value AND same_headers) OR unsent OR unarchived
    LIMIT 5
"""


class SentFile:
    """Writes every acknowledged delivery to a Parquet file: what must be found in the archive."""

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(path, SENT, compression="zstd")
        self._rows: list[tuple[object, ...]] = []

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._flush()
        self._writer.close()

    def __call__(self, message: Message, kind: str) -> None:
        key, value, timestamp = message.key(), message.value(), message.timestamp()[1]
        headers = list(headers_of(value, timestamp)) or None
        self._rows.append((message.partition(), message.offset(), timestamp, key, value, headers))
        if len(self._rows) == 50_000:
            self._flush()

    def _flush(self) -> None:
        columns = zip(*self._rows, strict=True) if self._rows else [[] for _ in SENT]
        arrays = [pa.array(column, field.type) for column, field in zip(columns, SENT, strict=True)]
        self._writer.write_table(pa.table(arrays, schema=SENT))
        self._rows.clear()


def headers_of(value: bytes | None, timestamp: int) -> tuple[tuple[str, bytes | None], ...]:
    """None, one, or two of the same name; binary, empty or null: by what the record is."""
    crc = zlib.crc32(value[:200] if value else b"")
    source = ("source", crc.to_bytes(4, "big"))
    return ((), (source,), (source, ("source", b"")), (("ünicode", None), source))[(crc ^ timestamp) % 4]


def records() -> Iterator[Record]:
    """The sample producer's ticks, each with headers, and every tenth without a key."""
    for number, record in enumerate(generate(SETTINGS)):
        headers = headers_of(record.value, record.timestamp)
        yield record._replace(headers=headers, key=None if number % 10 == 0 else record.key)


@pytest.mark.timeout(1800)
def test_a_million_records_are_archived_exactly_once_byte_for_byte(
    spark: SparkSession, environment: Environment, lake: Lake, tmp_path: Path
) -> None:
    topic = dataclasses.replace(stock_ticks, name=f"million_{uuid.uuid4().hex[:12]}")
    ensure_topic(environment, topic.name, topic.partitions)
    query = start_archive(spark, topic, lake, environment.kafka_bootstrap, timedelta(seconds=2))
    try:
        with SentFile(tmp_path / "sent.parquet") as sent_file:
            summary = send(records(), topic.name, environment.kafka_bootstrap, observers=[sent_file])
        query.processAllAvailable()
        batches = [progress for progress in query.recentProgress if progress["numInputRows"]]
    finally:
        query.stop()
    assert (summary.produced, summary.acknowledged) == (COUNT, COUNT)
    assert len(batches) > 1, "it was archived while it arrived"

    garbage = sum(count for kind, count in summary.kinds.items() if kind in MAKERS)
    assert set(MAKERS) <= set(summary.kinds), "every kind of garbage is among them"
    raw = open_table(environment, lake.raw(topic.name))
    assert raw is not None
    archived = raw.to_pyarrow_dataset()
    with duckdb.connect() as oracle:
        oracle.register("archived", archived)
        oracle.from_parquet(str(tmp_path / "sent.parquet")).create_view("sent")
        assert oracle.sql(DIFFERENCES).fetchall() == []
        counts = """
            SELECT count(*), count(DISTINCT ("partition", "offset")), count(error), count(event),
                   count(*) FILTER (WHERE (error IS NULL) = (event IS NULL)), count(DISTINCT topic),
                   count(*) FILTER (WHERE (event_date IS NULL) <> (event IS NULL))
            FROM archived
        """
        assert oracle.sql(counts).fetchall() == [(COUNT, COUNT, garbage, COUNT - garbage, 0, 1, 0)]

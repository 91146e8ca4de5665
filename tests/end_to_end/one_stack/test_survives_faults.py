"""Drivers killed in a micro-batch, Kafka and Azurite restarted, all under load: nothing lost, nothing doubled."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.compute as pc
import pytest

from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.home import Home
from millrace.lake.certificate import certify
from millrace.lake.offsets import end_offsets
from millrace.lake.tables import open_table
from millrace.lake.view import read_view
from millrace.producers import AcksFile, Settings, generate, read_acks, send
from millrace.producers.stop import Stop
from millrace.producers.summary import Summary
from millrace.stack import process
from millrace.stack.azurite import AZURITE, start_azurite
from millrace.stack.kafka import KAFKA, start_kafka
from tests.end_to_end.streams import ARCHIVE, SPEED, Streams, await_true
from tests.end_to_end.topic_oracle import KafkaRecord, high_low, read_topic, view_rows

pytestmark = [pytest.mark.release, pytest.mark.timeout(1200)]

RATE = 300.0


class Load:
    """A producer that writes live ticks all the time and keeps a record of every acknowledged one."""

    def __init__(self, streams: Streams, acks: Path) -> None:
        self._stop = Stop()
        self._environment = streams.environment
        self._acks = acks
        self._summary: Summary | None = None
        self.since = datetime.now(UTC)
        self._thread = threading.Thread(target=self._run)
        self._thread.start()

    def _run(self) -> None:
        settings = Settings(start=self.since, rate=RATE, seed=11, garbage=0.02, duplicates=0.01)
        with AcksFile(self._acks) as acks:
            self._summary = send(
                generate(settings),
                stock_ticks.name,
                self._environment.kafka_bootstrap,
                self._environment.kafka_options,
                speed=1.0,
                observers=[acks],
                stop=self._stop,
            )

    def end(self) -> Summary:
        self._stop.ask()
        self._thread.join()
        assert self._summary is not None, "the producer failed: see its traceback"
        return self._summary


@pytest.fixture
def load(settled: Streams, tmp_path: Path) -> Iterator[Load]:
    load = Load(settled, tmp_path / "acks.jsonl")
    yield load
    load.end()


def test_nothing_is_lost_or_doubled(load: Load, streams: Streams, stack: Home, tmp_path: Path) -> None:
    for query in (ARCHIVE, SPEED):
        killed = streams.driver(query)
        batch = streams.kill_in_micro_batch(query)
        await_true(
            f"Airflow brings {query} back past micro-batch {batch}",
            lambda query=query, batch=batch: streams.last_batch(query, "commits") > batch,
        )
        assert streams.driver(query).id != killed.id
    # Kafka as in a crash: a broker that ends in order may tell its clients that there is no broker at all, and
    # librdkafka 2.16 then forgets its only one for good (the producer's records fail after five minutes).
    for name, start, how in ((KAFKA, start_kafka, signal.SIGKILL), (AZURITE, start_azurite, signal.SIGTERM)):
        before = {query: streams.last_batch(query, "commits") for query in (ARCHIVE, SPEED)}
        assert process.stop(stack, name, how=how)
        assert start(stack), f"{name} was still running"
        for query, batch in before.items():
            await_true(
                f"{query} goes on after {name}'s restart",
                lambda query=query, batch=batch: streams.last_batch(query, "commits") > batch + 1,
            )
    summary = load.end()
    assert summary.failed == 0
    certify(streams.environment, stock_ticks, wait=timedelta(minutes=3))
    streams.await_speed(end_offsets(streams.environment, stock_ticks.name))
    records = read_topic(streams.environment.kafka_bootstrap, stock_ticks.name)
    check_acknowledged(records, tmp_path / "acks.jsonl", summary)
    check_archive(streams, records)
    check_view(streams, records, load.since)


def check_acknowledged(records: list[KafkaRecord], acks: Path, summary: Summary) -> None:
    """Every acknowledged record is in Kafka, where the acknowledgement said."""
    held = {(record.partition, record.offset): record for record in records}
    acknowledged = 0
    for ack in read_acks(acks):
        record = held[ack.partition, ack.offset]
        assert (record.key, record.value) == (ack.key, ack.value)
        acknowledged += 1
    assert acknowledged == summary.acknowledged > 0


def check_archive(streams: Streams, records: list[KafkaRecord]) -> None:
    """The raw archive holds each of Kafka's records exactly once, byte for byte."""
    table = open_table(streams.environment, Lake(streams.environment.lake).raw(stock_ticks.name))
    assert table is not None
    raw = table.to_pyarrow_table(columns=["partition", "offset", "timestamp", "key", "value"])
    assert raw.num_rows == len(records)
    raw = raw.sort_by([("partition", "ascending"), ("offset", "ascending")])
    expected = sorted(records)
    assert raw["partition"].to_pylist() == [record.partition for record in expected]
    assert raw["offset"].to_pylist() == [record.offset for record in expected]
    assert pc.cast(raw["timestamp"], "int64").to_pylist() == [
        round(record.timestamp.timestamp() * 1_000_000) for record in expected
    ]
    assert raw["key"].to_pylist() == [record.key for record in expected]
    assert raw["value"].to_pylist() == [record.value for record in expected]


def check_view(streams: Streams, records: list[KafkaRecord], since: datetime) -> None:
    """What the speed layer serves of the live windows is what the oracle makes of Kafka's records."""
    view = view_rows(read_view(streams.environment, stock_high_low, start=since.replace(second=0, microsecond=0)))
    expected = {k: row for k, row in high_low(records).items() if k[1] >= since.replace(second=0, microsecond=0)}
    assert view == expected

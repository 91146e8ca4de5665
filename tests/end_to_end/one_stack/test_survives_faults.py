"""Drivers killed in a micro-batch, Kafka and Azurite restarted, all under load: nothing lost, nothing doubled."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
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
from millrace.stack import process
from millrace.stack.azurite import AZURITE, start_azurite
from millrace.stack.kafka import KAFKA, start_kafka
from tests.end_to_end.streams import ARCHIVE, SPEED, Streams, await_true
from tests.end_to_end.topic_oracle import KafkaRecord, high_low, read_topic, view_rows

pytestmark = [pytest.mark.release, pytest.mark.timeout(1200)]

RATE = 300.0


@contextmanager
def load(streams: Streams, acks: Path) -> Iterator[None]:
    """Live ticks all the time, by a producer that notes every acknowledged one in `acks`. At the end, all are."""
    stop, settings = Stop(), Settings(start=datetime.now(UTC), rate=RATE, seed=11, garbage=0.02, duplicates=0.01)
    with AcksFile(acks) as file, ThreadPoolExecutor(1) as pool:
        sent = pool.submit(
            send,
            generate(settings),
            stock_ticks.name,
            streams.environment.kafka_bootstrap,
            streams.environment.kafka_options,
            speed=1.0,
            observers=[file],
            stop=stop,
        )
        try:
            yield
        finally:
            stop.ask()
    assert sent.result().acknowledged == sum(1 for _ in read_acks(acks)) > 0


def test_nothing_is_lost_or_doubled(settled: Streams, stack: Home, tmp_path: Path) -> None:
    streams, since = settled, datetime.now(UTC).replace(second=0, microsecond=0)
    acks = [tmp_path / "before.jsonl", tmp_path / "after.jsonl"]
    with load(streams, acks[0]):
        for query in (ARCHIVE, SPEED):
            killed = streams.driver(query)
            batch = streams.kill_in_micro_batch(query)
            await_true(
                f"Airflow brings {query} back past micro-batch {batch}",
                lambda query=query, batch=batch: streams.last_batch(query, "commits") > batch,
            )
            assert streams.driver(query).id != killed.id
    # Between two producers: a broker that stops or starts may tell a client that there is no broker at all, and
    # librdkafka 2.16 then forgets its only one for good. `tests/faults` kills Kafka under a producer.
    before = restarted(streams, stack, KAFKA, start_kafka)
    with load(streams, acks[1]):
        await_progress(streams, KAFKA, before)
        await_progress(streams, AZURITE, restarted(streams, stack, AZURITE, start_azurite))
    certify(streams.environment, stock_ticks, wait=timedelta(minutes=3))
    streams.await_speed(end_offsets(streams.environment, stock_ticks.name))
    records = read_topic(streams.environment.kafka_bootstrap, stock_ticks.name)
    for each in acks:
        check_acknowledged(records, each)
    check_archive(streams, records)
    check_view(streams, records, since)


def restarted(streams: Streams, stack: Home, name: str, start: Callable[[Home], bool]) -> dict[str, int]:
    """The streams' last micro-batches before it."""
    before = {query: streams.last_batch(query, "commits") for query in (ARCHIVE, SPEED)}
    assert process.stop(stack, name)
    assert start(stack), f"{name} was still running"
    return before


def await_progress(streams: Streams, name: str, before: dict[str, int]) -> None:
    for query, batch in before.items():
        await_true(
            f"{query} goes on after {name}'s restart",
            lambda query=query, batch=batch: streams.last_batch(query, "commits") > batch + 1,
        )


def check_acknowledged(records: list[KafkaRecord], acks: Path) -> None:
    """Every acknowledged record is in Kafka, where the acknowledgement said."""
    held = {(record.partition, record.offset): record for record in records}
    for ack in read_acks(acks):
        record = held[ack.partition, ack.offset]
        assert (record.key, record.value) == (ack.key, ack.value)


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
    view = view_rows(read_view(streams.environment, stock_high_low, start=since))
    expected = {k: row for k, row in high_low(records).items() if k[1] >= since}
    assert view == expected

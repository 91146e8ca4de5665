"""What the answers must be, worked out in plain Python from what Kafka holds: shares no code with the jobs."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any, NamedTuple

from confluent_kafka import Consumer, TopicPartition

BOUNDS = (timedelta(days=1), timedelta(days=400))
LARGEST = 512 * 1024


class KafkaRecord(NamedTuple):
    partition: int
    offset: int
    timestamp: datetime
    key: bytes | None
    value: bytes | None


class Tick(NamedTuple):
    symbol: str
    event_time: datetime
    price: Decimal
    volume: int


def read_topic(bootstrap: str, topic: str, options: Mapping[str, str] | None = None) -> list[KafkaRecord]:
    """Every record that Kafka holds now."""
    consumer = Consumer({**(options or {}), "bootstrap.servers": bootstrap, "group.id": f"oracle-{time.time()}"})
    try:
        ends = {}
        for partition in consumer.list_topics(topic, timeout=30).topics[topic].partitions:
            ends[partition] = consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=30)[1]
        consumer.assign([TopicPartition(topic, partition, 0) for partition in ends])
        records: list[KafkaRecord] = []
        while missing := sum(ends.values()) - len(records):
            for message in consumer.consume(min(10_000, missing), timeout=30):
                assert message.error() is None, message.error()
                if message.offset() >= ends[message.partition()]:
                    continue
                moment = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                records.append(
                    KafkaRecord(message.partition(), message.offset(), moment, message.key(), message.value())
                )
        return records
    finally:
        consumer.close()


def decode(record: KafkaRecord) -> Tick | None:
    """The tick in a record, or None for a dead letter. As strict as the declaration of `stock_ticks`."""
    if record.value is None or len(record.value) > LARGEST:
        return None
    try:
        fields = json.loads(record.value.decode("utf-8"), parse_float=Decimal)
        moment = datetime.fromisoformat(fields["event_time"])
        tick = Tick(fields["symbol"], moment.astimezone(UTC), Decimal(fields["price"]), fields["volume"])
    except (ValueError, KeyError, TypeError, ArithmeticError):
        return None
    ahead, age = BOUNDS
    if moment.tzinfo is None or type(tick.volume) is not int or not isinstance(fields["symbol"], str):
        return None
    return tick if record.timestamp - age <= tick.event_time <= record.timestamp + ahead else None


def high_low(records: Iterable[KafkaRecord]) -> dict[tuple[str, datetime], dict[str, Any]]:
    """Open, high, low, close, volume, count by symbol and minute."""
    windows: dict[tuple[str, datetime], list[tuple[Any, Tick]]] = {}
    for record in records:
        tick = decode(record)
        if tick is not None:
            minute = tick.event_time.replace(second=0, microsecond=0)
            order = (tick.event_time, record.partition, record.offset)
            windows.setdefault((tick.symbol, minute), []).append((order, tick))
    return {key: _summary(sorted(ticks)) for key, ticks in windows.items()}


def _summary(ticks: list[tuple[Any, Tick]]) -> dict[str, Any]:
    prices = [tick.price for _, tick in ticks]
    return {
        "open": prices[0],
        "high": max(prices),
        "low": min(prices),
        "close": prices[-1],
        "volume": sum(tick.volume for _, tick in ticks),
        "count": len(ticks),
    }


def view_rows(view: Any) -> dict[tuple[str, datetime], dict[str, Any]]:
    """A serving view in the oracle's form; fails when a key comes twice."""
    names = ("open", "high", "low", "close", "volume", "count")
    rows = [((r["symbol"], r["window_start"].astimezone(UTC)), {n: r[n] for n in names}) for r in view.to_pylist()]
    assert len(dict(rows)) == len(rows), "a key is in the view twice"
    return dict(rows)

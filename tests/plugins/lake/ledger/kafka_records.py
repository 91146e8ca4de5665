"""Topics with the pasts that a ledger must tell apart, made by real producers."""

from __future__ import annotations

import uuid
from datetime import timedelta

from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from millrace.waiting import until

_PATIENCE = timedelta(seconds=60)
_PATIENCE_S = 60


def create_topic(kafka: str, topic: str, **config: str) -> None:
    """With one partition; a setting's dots are written as underscores."""
    settings = {name.replace("_", "."): value for name, value in config.items()}
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.create_topics([NewTopic(topic, 1, 1, config=settings)])[topic].result(_PATIENCE_S)


def delete_topic(kafka: str, topic: str) -> None:
    admin = AdminClient({"bootstrap.servers": kafka})
    admin.delete_topics([topic])[topic].result(_PATIENCE_S)
    assert until(lambda: topic not in admin.list_topics(timeout=_PATIENCE_S).topics, _PATIENCE)


def delete_records(kafka: str, topic: str, before: int) -> None:
    """Everything below the offset, as retention would; -1 is everything."""
    admin = AdminClient({"bootstrap.servers": kafka})
    for done in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        done.result(_PATIENCE_S)


def send(kafka: str, topic: str, count: int, key: str | None = None) -> None:
    producer = Producer({"bootstrap.servers": kafka})
    for number in range(count):
        producer.produce(topic, f"record {number}", key=key)
    assert producer.flush(_PATIENCE_S) == 0


def send_transaction(kafka: str, topic: str, count: int, *, commit: bool) -> None:
    """`count` records and the marker that ends the transaction: count + 1 offsets.

    Kafka answers that a transaction has ended before it writes the marker, so that is awaited.
    """
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": uuid.uuid4().hex})
    producer.init_transactions(_PATIENCE_S)
    producer.begin_transaction()
    for number in range(count):
        producer.produce(topic, f"record {number}")
    producer.flush(_PATIENCE_S)
    marker = _end(kafka, topic)
    if commit:
        producer.commit_transaction(_PATIENCE_S)
    else:
        producer.abort_transaction(_PATIENCE_S)
    assert until(lambda: _end(kafka, topic) > marker, _PATIENCE)


def _end(kafka: str, topic: str) -> int:
    """Where the next record goes, also while a transaction is under way."""
    reader = Consumer({"bootstrap.servers": kafka, "group.id": "end", "isolation.level": "read_uncommitted"})
    try:
        return int(reader.get_watermark_offsets(TopicPartition(topic, 0), timeout=_PATIENCE_S)[1])
    finally:
        reader.close()

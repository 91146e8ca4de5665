"""What Kafka's past makes of gaps, asked of a real broker."""

from __future__ import annotations

from datetime import timedelta

from confluent_kafka import Consumer, TopicPartition

from millrace.environment import Environment
from millrace.lake.ledger.gaps import classify
from millrace.lake.ledger.kafka_topic import ask_kafka
from millrace.lake.ledger.ranges import Range
from millrace.waiting import until
from tests.plugins.lake.ledger.kafka_records import create_topic, delete_records, send, send_transaction
from tests.plugins.lake.ledger.raw_rows import new_topic


def kinds(environment: Environment, topic: str, gaps: list[Range]) -> list[tuple[str, Range, int | None]]:
    found = classify(ask_kafka(environment, topic), 0, gaps)
    return sorted(((f.kind, f.range, f.records) for f in found), key=lambda finding: finding[1])


def test_markers_and_aborted_records_are_told_from_records_that_the_archive_lacks(
    environment: Environment, kafka: str
) -> None:
    topic = new_topic()
    create_topic(kafka, topic)
    send_transaction(kafka, topic, 3, commit=True)  # 0 to 2, marker 3
    send_transaction(kafka, topic, 2, commit=False)  # 4 and 5, marker 6
    send(kafka, topic, 2)  # 7 and 8
    send_transaction(kafka, topic, 1, commit=True)  # 9, marker 10 at the log's end
    assert kinds(environment, topic, [(3, 7), (8, 9), (10, 11)]) == [
        ("transaction markers", (3, 4), 0),
        ("aborted transaction", (4, 6), 2),
        ("transaction markers", (6, 7), 0),
        ("missing", (8, 9), 1),
        ("transaction markers", (10, 11), 0),
    ]


def test_an_open_transaction_proves_nothing(environment: Environment, kafka: str) -> None:
    from confluent_kafka import Producer

    topic = new_topic()
    create_topic(kafka, topic)
    producer = Producer({"bootstrap.servers": kafka, "transactional.id": topic})
    producer.init_transactions(60)
    producer.begin_transaction()
    producer.produce(topic, "not yet decided")
    producer.flush(60)
    try:
        send(kafka, topic, 1)
        witness = ask_kafka(environment, topic)
        assert witness.facts.held == {0: (0, 2)}
        assert [(f.kind, f.range) for f in classify(witness, 0, [(0, 1)])] == [("unknown", (0, 1))]
    finally:
        producer.abort_transaction(60)
    # Kafka answers before it has written the marker; until then the transaction is open.
    assert until(
        lambda: kinds(environment, topic, [(0, 1)]) == [("aborted transaction", (0, 1), 1)], timedelta(seconds=60)
    )


def test_compacted_offsets_are_compaction(environment: Environment, kafka: str) -> None:
    topic = new_topic()
    create_topic(
        kafka,
        topic,
        cleanup_policy="compact",
        segment_ms="100",
        min_cleanable_dirty_ratio="0.001",
        max_compaction_lag_ms="200",
        min_compaction_lag_ms="0",
    )
    send(kafka, topic, 4, key="same")  # 0 to 3: the newest stays
    assert until(lambda: _compacted(kafka, topic), timedelta(seconds=120))
    assert kinds(environment, topic, [(0, 3)]) == [("compaction", (0, 3), None)]


def _compacted(kafka: str, topic: str) -> bool:
    """Adds a record of another key, which closes the segment, and looks whether the first record is still there."""
    send(kafka, topic, 1, key="other")
    consumer = Consumer({"bootstrap.servers": kafka, "group.id": topic, "enable.auto.commit": False})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        message = consumer.poll(20)
        return message is not None and message.error() is None and (message.offset() or 0) >= 3
    finally:
        consumer.close()


def test_records_that_kafka_deleted_are_a_retention_loss_where_retention_may_delete(
    environment: Environment, kafka: str
) -> None:
    topic = new_topic()
    create_topic(kafka, topic, retention_ms="86400000")
    send(kafka, topic, 10)
    delete_records(kafka, topic, before=6)
    assert kinds(environment, topic, [(2, 4), (5, 7)]) == [
        ("retention loss", (2, 4), None),
        ("retention loss", (5, 6), None),
        ("missing", (6, 7), 1),
    ]


def test_records_deleted_from_a_topic_without_retention_are_truncation(environment: Environment, kafka: str) -> None:
    topic = new_topic()
    create_topic(kafka, topic, retention_ms="-1", retention_bytes="-1")
    send(kafka, topic, 10)
    delete_records(kafka, topic, before=6)
    assert kinds(environment, topic, [(2, 4)]) == [("truncation", (2, 4), None)]

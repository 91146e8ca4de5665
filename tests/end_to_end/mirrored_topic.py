"""Replication on real brokers: what is sent to a topic, MirrorMaker that is killed, and what its replica holds then."""

from __future__ import annotations

from collections import Counter
from datetime import timedelta
from pathlib import Path

import psutil
from confluent_kafka import Consumer, KafkaError, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic

from millrace.environment import Environment
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.protocol import JobState, RunningJob
from millrace.replication.job import mirror_job
from millrace.supervision.connection import Connection
from tests.end_to_end.streams import await_true

__all__ = ["PATIENCE", "Sent", "bring_back", "make_topic", "read_all", "send_numbers"]

PARTITIONS = 2
PATIENCE = timedelta(seconds=120)
Sent = tuple[int, bytes | None, bytes | None, tuple[tuple[str, bytes], ...], int]
"""Partition, key, value, headers, timestamp (ms)."""


def make_topic(bootstrap: str, options: dict[str, str], topic: str) -> None:
    """With two partitions."""
    admin = AdminClient({**options, "bootstrap.servers": bootstrap})
    admin.create_topics([NewTopic(topic, PARTITIONS, 1)])[topic].result(30)


def send_numbers(bootstrap: str, options: dict[str, str], topic: str, numbers: range) -> list[Sent]:
    """Records of every shape, in their order; all are acknowledged."""
    own = {"bootstrap.servers": bootstrap, "enable.idempotence": True, "message.max.bytes": 2_000_000}
    producer = Producer({**options, **own})
    sent = [_record(number) for number in numbers]
    for partition, key, value, headers, at in sent:
        producer.produce(topic, value, key, partition, timestamp=at, headers=list(headers))
        producer.poll(0)
    assert producer.flush(60) == 0
    return sent


def _record(number: int) -> Sent:
    key = None if number % 7 == 0 else f"key {number % 5}".encode()
    value = None if number % 11 == 0 else b"\x00\xff" * (number % 3) + str(number).encode()
    value = b"x" * 1_100_000 if number == 500 else value
    headers = (("number", str(number).encode()),) if number % 2 else ()
    return number % PARTITIONS, key, value, headers, 1_600_000_000_000 + number


def read_all(bootstrap: str, options: dict[str, str], topic: str) -> list[Sent]:
    """Every committed record, by partition, in its order: read without the code under test."""
    settings = {"bootstrap.servers": bootstrap, "group.id": "oracle", "enable.partition.eof": True}
    consumer = Consumer({**options, **settings, "isolation.level": "read_committed", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(topic, number, 0) for number in range(PARTITIONS)])
    found: list[Sent] = []
    at_end: set[int] = set()
    while len(at_end) < PARTITIONS:
        message = consumer.poll(30)
        assert message is not None, f"no answer; {len(found)} records so far"
        if error := message.error():
            assert error.code() == KafkaError._PARTITION_EOF, error
            at_end.add(message.partition())
            continue
        headers = tuple(message.headers() or ())
        found.append((message.partition(), message.key(), message.value(), headers, message.timestamp()[1]))
    consumer.close()
    return sorted(found, key=lambda record: record[0])


def bring_back(connection: Connection, jobs: Path, running: RunningJob) -> RunningJob:
    """Kill MirrorMaker's JVM, see that it was killed, and start it again."""
    watched = psutil.Process(JobFolder(jobs / running.id).read("process.json")["driver"])
    (jvm,) = watched.children()
    jvm.kill()
    await_true(
        "the end of MirrorMaker", lambda: connection.platform.state(running.id).state is not JobState.RUNNING, PATIENCE
    )
    assert connection.platform.state(running.id).exit_code == 137
    return connection.platform.submit(mirror_job(connection.environment, "test.2"))


def counts(environment: Environment, topic: str) -> int:
    """How many records the replica's partitions hold, markers of transactions among them."""
    assert environment.replica is not None
    settings = {**environment.replica.options, "bootstrap.servers": environment.replica.bootstrap, "group.id": "count"}
    consumer = Consumer(settings)
    try:
        there = consumer.list_topics(topic, timeout=10).topics[topic].partitions
        places = [TopicPartition(topic, number) for number in there]
        return sum(consumer.get_watermark_offsets(place, timeout=10)[1] for place in places)
    finally:
        consumer.close()


def surplus(found: list[Sent], sent: list[Sent]) -> Counter[Sent]:
    """What is there more often than it was sent."""
    return Counter(found) - Counter(sent)

"""Every record of a topic is in its replica, whatever is killed: MirrorMaker between two real brokers."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import timedelta

import pytest
from confluent_kafka import Consumer, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.home import Home
from millrace.platforms.protocol import JobState
from millrace.replica import Replica
from millrace.replication.check import check_replica, verdict
from millrace.replication.job import mirror_connection, mirror_job
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from tests.end_to_end.mirrored_topic import (
    PATIENCE,
    Sent,
    bring_back,
    counts,
    make_topic,
    read_all,
    send_numbers,
    surplus,
)
from tests.end_to_end.streams import await_true

pytestmark = [pytest.mark.stack, pytest.mark.release, pytest.mark.timeout(400)]

TOPIC = "mirrored.topic"
BEFORE, DURING, AFTER = range(4_000), range(4_000, 8_000), range(8_000, 10_000)


@pytest.fixture
def mirrored(stack: Home, environment: Environment) -> Iterator[Connection]:
    replica = Replica(stack, None, {}, topics=(TOPIC,), replication_factor=1, exactly_once=True)
    connection = mirror_connection(replace(environment, replica=replica), stack)
    yield connection
    for running in connection.platform.live_jobs():
        connection.platform.cancel(running.id, timedelta(0))


def test_a_killed_mirrormaker_loses_and_doubles_nothing_and_the_check_finds_what_is_spoilt(
    stack: Home, mirrored: Connection
) -> None:
    environment, platform = mirrored.environment, mirrored.platform
    make_topic(environment.kafka_bootstrap, {}, TOPIC)
    sent = send_numbers(environment.kafka_bootstrap, {}, TOPIC, BEFORE)
    _assert_more_copies_than_brokers_are_refused(environment, stack)
    running = platform.submit(mirror_job(environment, "test.1"))
    await_true("the first records in the replica", lambda: counts(environment, TOPIC) > 0, PATIENCE)
    sent += send_numbers(environment.kafka_bootstrap, {}, TOPIC, DURING)
    running = bring_back(mirrored, stack.replication / environment.name / "jobs", running)
    behind = list(check_replica(environment, patience=timedelta(0)))
    sent += send_numbers(environment.kafka_bootstrap, {}, TOPIC, AFTER)
    assert sum(report.lag for report in behind) == sum(report.records - report.replicated for report in behind)

    reports = list(check_replica(environment, patience=timedelta(seconds=90)))
    assert verdict(reports) is None
    assert [(report.records, report.replicated, report.duplicates, report.strangers) for report in reports] == [
        (5_000, 5_000, 0, 0),
        (5_000, 5_000, 0, 0),
    ]
    assert environment.replica is not None
    copied = read_all(environment.replica.bootstrap, {}, TOPIC)
    assert copied == sorted(sent, key=lambda record: record[0])
    assert not surplus(copied, sent)

    with _open_transaction(environment.kafka_bootstrap):
        assert verdict(check_replica(environment, patience=timedelta(0))) is None  # what is not committed is not there
    _spoil(environment.replica, copied)
    spoiled, untouched = check_replica(environment, patience=timedelta(0))
    counted = (spoiled.replicated, spoiled.lag, spoiled.missing, spoiled.duplicates, spoiled.strangers)
    assert counted == (4_900, 0, 100, 1, 1)
    assert spoiled.first_missing == 0
    assert untouched.is_complete
    assert "100 missing); the first that is missing is mirrored.topic[0] offset 0" in str(verdict([spoiled, untouched]))

    StreamControl(mirrored.notes, running.name).request_stop(running.owner, "the test is over")
    await_true("the end of MirrorMaker", lambda: platform.state(running.id).state is JobState.SUCCEEDED, PATIENCE)


def _assert_more_copies_than_brokers_are_refused(environment: Environment, stack: Home) -> None:
    """MirrorMaker itself would wait for a minute, and not say why."""
    assert environment.replica is not None
    many = replace(environment, replica=replace(environment.replica, replication_factor=3))
    with pytest.raises(MillraceError, match=r"replication_factor is 3, and .* has 1 brokers.*; write a number up to 1"):
        mirror_connection(many, stack).platform.submit(mirror_job(many, "test.0"))


@contextmanager
def _open_transaction(bootstrap: str) -> Iterator[None]:
    """One that has sent a record, and is aborted at the end of the block."""
    producer = Producer({"bootstrap.servers": bootstrap, "transactional.id": "open"})
    producer.init_transactions(30)
    producer.begin_transaction()
    producer.produce(TOPIC, b"not committed", partition=0)
    producer.flush(30)
    yield
    producer.abort_transaction(30)


def _spoil(replica: Replica, copied: list[Sent]) -> None:
    """In partition 0 of the replica: its first 100 records are deleted, its last comes again, and a stranger comes."""
    offset = TopicPartition(TOPIC, 0, _offset_after(replica, 100))
    admin = AdminClient({"bootstrap.servers": replica.bootstrap})
    admin.delete_records([offset])[offset].result(30)
    _, key, value, headers, at = [record for record in copied if record[0] == 0][-1]
    producer = Producer({"bootstrap.servers": replica.bootstrap})
    producer.produce(TOPIC, value, key, 0, timestamp=at, headers=list(headers))
    producer.produce(TOPIC, b"a stranger", partition=0)
    assert producer.flush(30) == 0


def _offset_after(replica: Replica, records: int) -> int:
    """Where so many records of partition 0 end: between them are markers of transactions."""
    consumer = Consumer({"bootstrap.servers": replica.bootstrap, "group.id": "oracle", "auto.offset.reset": "earliest"})
    consumer.assign([TopicPartition(TOPIC, 0, 0)])
    last = consumer.consume(records, 30)[-1]
    consumer.close()
    return int(last.offset() or 0) + 1

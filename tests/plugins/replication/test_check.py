"""The comparison of two clusters, both of them librdkafka's own mock brokers: what is there is put there by hand."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import TIMESTAMP_CREATE_TIME, TIMESTAMP_LOG_APPEND_TIME, KafkaError, Producer
from confluent_kafka.admin._metadata import TopicMetadata

from jobs.errors import MillraceError
from millrace.environment import Environment, StorageAccount
from millrace.home import Home
from millrace.replica import Replica
from millrace.replication import check
from millrace.replication.check import _Comparison, check_replica
from millrace.replication.pairing import Pairing, PartitionReport
from millrace.replication.partition_reader import Cluster, PartitionReader, opened
from tests.meanwhile import meanwhile

pytestmark = pytest.mark.timeout(60)

STORAGE = StorageAccount("account", "lake", "http://127.0.0.1:1/account", Path("key"))
TOPIC = "ticks"
NONE_WAITED_FOR = timedelta(0)
OFTEN_S = 0.005  # no read of 0.2 s ends with nothing


@dataclass
class Stamped:
    """A record by its timestamp, and who made that; it stands in for a consumer's message."""

    kind: int
    at: int

    def error(self) -> None:
        return None

    def offset(self) -> int:
        return 0

    def timestamp(self) -> tuple[int, int]:
        return self.kind, self.at

    def key(self) -> bytes:
        return b"key"

    def value(self) -> bytes:
        return b"value"

    def headers(self) -> None:
        return None


class StampedPartition:
    """Stands in for a consumer: mock brokers have no LogAppendTime."""

    def __init__(self, kind: int, at: int) -> None:
        self.record = Stamped(kind, at)

    def assign(self, places: object) -> None:
        pass

    def consume(self, most: int, timeout: float) -> list[Stamped]:
        return [self.record]

    def get_watermark_offsets(self, place: object, timeout: float) -> tuple[int, int]:
        return 0, 1


class Broker:
    """A mock broker, which lives as long as its producer."""

    def __init__(self) -> None:
        self.producer = Producer({"test.mock.num.brokers": 1, "linger.ms": 0, "log_level": 0})
        (broker,) = self.producer.list_topics(timeout=10).brokers.values()
        self.bootstrap = f"{broker.host}:{broker.port}"

    def close(self) -> None:
        del self.producer

    def send(self, *values: str) -> None:
        for value in values:
            self.producer.produce(TOPIC, value.encode(), partition=0, timestamp=1_600_000_000_000)
        assert self.producer.flush(10) == 0


@pytest.fixture
def source() -> Broker:
    return Broker()


@pytest.fixture
def replica() -> Broker:
    return Broker()


def environment(source: Broker, replica: Broker) -> Environment:
    copied = Replica(Home(Path("/none")), replica.bootstrap, {}, topics=(TOPIC,))
    return Environment("test", "fake", source.bootstrap, {}, "abfs://lake", STORAGE, replica=copied)


def compared(source: Broker, replica: Broker, patience: timedelta = NONE_WAITED_FOR) -> PartitionReport:
    """Of partition 0; mock topics have others, which are empty."""
    return next(check_replica(environment(source, replica), patience))


def counts(report: PartitionReport) -> tuple[int, int, int, int, int]:
    return report.records, report.lag, report.missing, report.duplicates, report.strangers


def reads(reader: PartitionReader, times: int) -> list[tuple[int, bytes]]:
    return [record for _ in range(times) for record in reader.read(0.1)]


def test_what_is_there_behind_missing_and_strange_is_counted(source: Broker, replica: Broker) -> None:
    source.send(*"abcde")
    replica.send(*"bdbx")
    assert counts(compared(source, replica)) == (5, 1, 2, 1, 1)


def test_it_ends_while_the_topic_gets_records(source: Broker, replica: Broker) -> None:
    source.send(*"abc")
    replica.send(*"ac")

    def both(number: int) -> None:
        for broker in (source, replica):
            broker.send(f"later {number}")

    with meanwhile(both, OFTEN_S):
        report = compared(source, replica, patience=timedelta(seconds=1))
    assert report.missing == 1


def test_what_comes_within_the_patience_is_waited_for_while_others_come(source: Broker, replica: Broker) -> None:
    source.send(*"abc")
    replica.send(*"ab")

    def replicate(number: int) -> None:
        replica.send("c" if number == 200 else f"other {number}")

    with meanwhile(replicate, OFTEN_S):
        report = compared(source, replica, patience=timedelta(seconds=30))
    assert (report.lag, report.missing) == (0, 0)


def test_a_cluster_that_goes_away_in_the_middle_ends_it(source: Broker) -> None:
    source.send(*"abc")
    cluster = Cluster("the replica", source.bootstrap, {})
    told = (
        r"the replica at 127.*: ticks\[0\] sent nothing behind offset 0 for 1 s, neither a record nor its end; see that"
    )
    with opened(cluster) as consumer:
        reader = PartitionReader(cluster, consumer, TOPIC, 0, silence=timedelta(seconds=1))
        source.close()
        with pytest.raises(MillraceError, match=told):
            reads(reader, 50)


def test_a_partition_that_was_read_to_its_end_may_be_silent(source: Broker) -> None:
    source.send(*"abc")
    cluster = Cluster("the replica", source.bootstrap, {})
    with opened(cluster) as consumer:
        reader = PartitionReader(cluster, consumer, TOPIC, 0, silence=timedelta(seconds=1))
        found = reads(reader, 30)
    assert [offset for offset, _ in found] == [0, 1, 2]
    assert reader.is_at_end


def test_what_both_get_during_the_check_is_neither_a_duplicate_nor_strange(source: Broker, replica: Broker) -> None:
    source.send(*"abc")
    replica.send(*"abbz")  # a duplicate and a stranger

    def replicate(number: int) -> None:
        for broker in (source, replica):
            broker.send("a" if number == 100 else f"later {number}")
        if number == 300:
            replica.send("c")

    with meanwhile(replicate, OFTEN_S):
        report = compared(source, replica, patience=timedelta(seconds=30))
    assert counts(report)[1:] == (0, 0, 1, 1)
    assert report.records < 300  # when it began; it has seen what came with the 300th


def stamped(kind: int, at: int) -> PartitionReader:
    consumer: Any = StampedPartition(kind, at)
    return PartitionReader(Cluster("the replica", "nowhere", {}), consumer, TOPIC, 0)


def test_times_that_the_source_made_at_arrival_are_compared_with_those_that_mirrormaker_sent() -> None:
    """It does not replicate message.timestamp.type: in the replica they are times that the producer gave."""
    comparison = _Comparison(TOPIC, 0, NONE_WAITED_FOR, timedelta(seconds=1))
    comparison._read_both(stamped(TIMESTAMP_LOG_APPEND_TIME, 5), stamped(TIMESTAMP_CREATE_TIME, 5), 1)
    assert comparison.pairing.is_complete
    ((_, at_six),) = stamped(TIMESTAMP_LOG_APPEND_TIME, 6).read(0)
    ((_, at_five),) = stamped(TIMESTAMP_LOG_APPEND_TIME, 5).read(0)
    assert at_six != at_five


def test_times_that_the_replica_made_at_arrival_are_no_times_of_the_source() -> None:
    comparison = _Comparison(TOPIC, 0, NONE_WAITED_FOR, timedelta(seconds=1))
    with pytest.raises(
        MillraceError, match=r"'ticks': the replica's records have the times of their arrival.*set Create"
    ):
        comparison._read_both(stamped(TIMESTAMP_CREATE_TIME, 5), stamped(TIMESTAMP_LOG_APPEND_TIME, 9), 1)


def test_a_partition_that_is_not_in_the_replica_is_counted_and_not_remembered(source: Broker) -> None:
    source.send(*"abca")
    comparison = _Comparison(TOPIC, 0, NONE_WAITED_FOR, timedelta(seconds=30))
    report = comparison.of(Cluster("the source", source.bootstrap, {}), None)
    assert (report.source_end, *counts(report)) == (4, 4, 4, 0, 0, 0)
    assert comparison.pairing.records == 0


@dataclass
class Numbers:
    """Stands in for a reader of so many records, a hundred at a time, which tells how many waited before each read."""

    last: int
    pairing: Pairing
    most_waiting: int = 0
    position: int = 0
    at_once: int = 100
    has_times_of_arrival: bool = False

    @property
    def is_at_end(self) -> bool:
        return self.position == self.last

    def end(self) -> int:
        return self.last

    def read(self, wait_s: float) -> list[tuple[int, bytes]]:
        self.most_waiting = max(self.most_waiting, self.pairing.waiting)
        first, self.position = self.position, min(self.position + self.at_once, self.last)
        return [(number, str(number).encode()) for number in range(first, self.position)]


@pytest.mark.parametrize(("in_replica", "lag"), [(5_000, 0), (2_000, 3_000), (0, 5_000)])
def test_the_source_is_not_read_far_ahead_of_a_replica_that_is_slower(
    monkeypatch: pytest.MonkeyPatch, in_replica: int, lag: int
) -> None:
    monkeypatch.setattr(check, "_MOST_WAITING", 500)
    comparison = _Comparison(TOPIC, 0, NONE_WAITED_FOR, timedelta(seconds=1))
    original: Any = Numbers(5_000, comparison.pairing)
    copy: Any = Numbers(in_replica, comparison.pairing, at_once=10)
    comparison._read_both(original, copy, 5_000)
    assert comparison.pairing.waiting == lag
    assert copy.most_waiting <= 600 + lag


def told_of(code: int | None) -> TopicMetadata:
    found = TopicMetadata()
    found.topic, found.error = TOPIC, None if code is None else KafkaError(code)
    found.partitions = {1: None, 0: None} if code is None else {}
    return found


def test_a_topic_that_is_not_there_has_no_partitions_and_one_that_may_not_be_seen_is_an_error() -> None:
    cluster = Cluster("the replica", "b:9093", {})
    assert cluster.told(told_of(None)) == [0, 1]
    assert cluster.told(told_of(KafkaError.UNKNOWN_TOPIC_OR_PART)) == []
    with pytest.raises(
        MillraceError, match=r"the replica at b:9093: topic 'ticks': .*authorization failed; give the login"
    ):
        cluster.told(told_of(KafkaError.TOPIC_AUTHORIZATION_FAILED))


@pytest.mark.parametrize(
    ("named", "remedy"), [(("nothing",), "correct replica.topics"), ((), "correct jobs/topics.py")]
)
def test_a_topic_that_the_source_lacks_is_told_with_where_it_is_named(
    monkeypatch: pytest.MonkeyPatch, source: Broker, named: tuple[str, ...], remedy: str
) -> None:
    there = environment(source, source)
    assert there.replica is not None
    monkeypatch.setattr(Cluster, "partitions", lambda *_: [])  # a mock broker makes what it is asked for
    with pytest.raises(MillraceError, match=f"has none of that name; .*{remedy}"):
        next(check_replica(replace(there, replica=replace(there.replica, topics=named))))

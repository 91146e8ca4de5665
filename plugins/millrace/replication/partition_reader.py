"""The committed records of one partition, in their order."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from millrace.replication.pairing import digest

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin._metadata import TopicMetadata

__all__ = ["SILENCE", "Cluster", "PartitionReader", "opened"]

SILENCE = timedelta(seconds=60)
"""How long a cluster may send nothing of what it has."""

_TIMEOUT_S = 15.0
_BATCH = 5_000


@dataclass(frozen=True)
class Cluster:
    """A Kafka cluster: what it is called in errors, and how to get in (client settings under librdkafka's names)."""

    name: str
    bootstrap: str
    options: Mapping[str, str]

    def partitions(self, topic: str) -> list[int]:
        """The topic's partitions, empty where there is none of that name.

        Raises MillraceError as `opened`, and where the cluster does not say: what a login may not see looks as if it
        were not there.
        """
        with opened(self) as consumer:
            return self.told(consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic])

    def told(self, found: TopicMetadata) -> list[int]:
        """The partitions that the cluster has told of."""
        from confluent_kafka import KafkaError

        if found.error is not None and found.error.code() != KafkaError.UNKNOWN_TOPIC_OR_PART:
            raise MillraceError(
                f"{self.name} at {self.bootstrap}: topic {found.topic!r}: {found.error.str()}; give the login in the"
                " environment's file the rights to describe and to read it"
            )
        return sorted(found.partitions)


class PartitionReader:
    """Reads a partition of the cluster from the offset `start` on, by default from its first record; what follows when
    it was at the end is read later."""

    def __init__(
        self,
        cluster: Cluster,
        consumer: Consumer,
        topic: str,
        partition: int,
        silence: timedelta = SILENCE,
        start: int | None = None,
    ) -> None:
        from confluent_kafka import OFFSET_BEGINNING, TopicPartition

        self._cluster, self._silence, self._silent_s = cluster, silence, 0.0
        self._consumer, self._place = (
            consumer,
            TopicPartition(topic, partition, OFFSET_BEGINNING if start is None else start),
        )
        self.position = start or 0
        self.is_at_end = False
        self.has_times_of_arrival = False
        """Whether a record was among them that its broker stamped (LogAppendTime)."""
        consumer.assign([self._place])

    def end(self) -> int:
        """The offset of the next record that will be committed there."""
        _, end = self._consumer.get_watermark_offsets(self._place, timeout=_TIMEOUT_S)
        return int(end)

    def read(self, wait_s: float) -> list[tuple[int, bytes]]:
        """Some more records: their offsets and digests; empty where none came within `wait_s`, or at the end.

        Raises MillraceError after `silence` of waiting in which neither a record came nor the end: the client tries for
        ever to reach a cluster that is gone, and tells nothing.
        """
        started = time.monotonic()
        messages = self._consumer.consume(_BATCH, timeout=wait_s)
        found = [record for message in messages if (record := self._record(message))]
        self._silent_s = 0.0 if messages or self.is_at_end else self._silent_s + time.monotonic() - started
        if self._silent_s > self._silence.total_seconds():
            raise MillraceError(
                f"{self._cluster.name} at {self._cluster.bootstrap}: {self._place.topic}[{self._place.partition}] sent"
                f" nothing behind offset {self.position:,} for {self._silent_s:.0f} s, neither a record nor its end;"
                " see that its brokers are up and reached from here, and check again"
            )
        return found

    def _record(self, message: Message) -> tuple[int, bytes] | None:
        from confluent_kafka import TIMESTAMP_LOG_APPEND_TIME, KafkaError, KafkaException

        error, offset = message.error(), message.offset()
        if error is not None:
            if error.code() != KafkaError._PARTITION_EOF:
                raise KafkaException(error)
            self.position, self.is_at_end = max(self.position, offset or 0), True
            return None
        kind, at = message.timestamp()
        self.has_times_of_arrival |= kind == TIMESTAMP_LOG_APPEND_TIME
        self.position, self.is_at_end = int(offset or 0) + 1, False
        headers: Any = message.headers() or []
        facts = (message.key(), message.value(), headers, at)
        return self.position - 1, digest(facts)


@contextmanager
def opened(cluster: Cluster) -> Iterator[Consumer]:
    """A consumer that leaves no trace. Raises MillraceError for whatever goes wrong with it."""
    from confluent_kafka import Consumer, KafkaException

    settings = {
        **cluster.options,
        "bootstrap.servers": cluster.bootstrap,
        "group.id": "millrace-replica-check",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        "isolation.level": "read_committed",
        "auto.offset.reset": "earliest",
        "log_level": 0,
    }
    consumer = None
    try:
        consumer = Consumer(settings)
        yield consumer
    except KafkaException as error:
        told = error.args[0]
        raise MillraceError(
            f"{cluster.name} at {cluster.bootstrap}: {told.str() if hasattr(told, 'str') else told}; see that it is up,"
            " and that the settings, the login and the certificates in the environment's file are right"
        ) from error
    finally:
        if consumer is not None:
            consumer.close()

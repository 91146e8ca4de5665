"""What Kafka can tell of a topic's past: its identity, which offsets it has, what it delivers of a range."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.kafka_brokers import quiet_admin
from millrace.lake.ledger.ranges import Range, Ranges, contains, near, of_offsets

if TYPE_CHECKING:
    from confluent_kafka import Consumer, Message
    from confluent_kafka.admin import AdminClient

__all__ = ["KafkaTopic", "NoAnswerError", "TopicFacts", "ask_kafka"]

_TIMEOUT_S = 30
# Gaps this close are read in one go: a seek costs about as much as this many records.
_NEAR = 10_000


class NoAnswerError(MillraceError):
    """Kafka cannot be asked, or its answer proves nothing."""


@dataclass(frozen=True)
class TopicFacts:
    """`topic_id` is Kafka's own; None on brokers without. `held`: per partition, the first offset and the one after the
    last record, be it of a transaction that is open.

    `limits` are those of `cleanup.policy`, `retention.ms` and `retention.bytes`, as text; none where Kafka does not
    say: it may then delete, and is not taken to compact.
    """

    topic_id: str | None
    held: dict[int, Range]
    limits: dict[str, str]

    @property
    def is_compacted(self) -> bool:
        return "compact" in self.limits.get("cleanup.policy", "")

    @property
    def forgets(self) -> bool:
        """Whether Kafka deletes old records of the topic by itself."""
        if not self.limits:
            return True
        is_limited = any(int(self.limits[name]) >= 0 for name in ("retention.ms", "retention.bytes"))
        return "delete" in self.limits["cleanup.policy"] and is_limited


def ask_kafka(environment: Environment, topic: str) -> KafkaTopic:
    """The topic as Kafka has it now. Raises NoAnswerError when it has none, or does not tell."""
    from confluent_kafka import KafkaException

    options = {**environment.kafka_options, "bootstrap.servers": environment.kafka_bootstrap}
    try:
        return KafkaTopic(topic, options, _facts(topic, options))
    except KafkaException as error:
        raise NoAnswerError(f"topic {topic!r} at {environment.kafka_bootstrap}: {_reason(error)}") from error


class KafkaTopic:
    """`facts` were true when the topic was asked for; records are read when they are asked for."""

    def __init__(self, topic: str, options: dict[str, str], facts: TopicFacts) -> None:
        self._topic = topic
        self._options = options
        self.facts = facts

    def delivered(self, partition: int, ranges: Ranges, *, aborted: bool) -> Ranges:
        """Offsets of the ranges whose records Kafka delivers: the committed ones, with `aborted` all of them.

        Raises NoAnswerError unless it reads past each range's end: only then is what was not delivered not there.
        """
        level = "read_uncommitted" if aborted else "read_committed"
        found: list[int] = []
        with _consumer({**self._options, "isolation.level": level}) as consumer:
            for group in near(ranges, _NEAR):
                found += (
                    offset
                    for offset in self._read(consumer, partition, group[0][0], group[-1][1])
                    if contains(group, offset)
                )
        return of_offsets(found)

    def _read(self, consumer: Consumer, partition: int, start: int, end: int) -> Iterator[int]:
        """Offsets of the delivered records in `[start, end)`."""
        from confluent_kafka import TopicPartition

        consumer.assign([TopicPartition(self._topic, partition, start)])
        while message := consumer.poll(_TIMEOUT_S):
            offset = _position(message, end)
            if offset >= end:
                return
            yield offset
        raise NoAnswerError(f"partition {partition}: no answer within {_TIMEOUT_S} s, reading from {start} to {end}")


def _position(message: Message, end: int) -> int:
    """The message's offset, or that of the log's end where it says so; nothing is left out up to there."""
    from confluent_kafka import KafkaError

    offset = message.offset()
    error = message.error()
    if error is None and offset is not None:
        return offset
    if error is not None and error.code() == KafkaError._PARTITION_EOF and offset is not None and offset >= end:
        return offset
    raise NoAnswerError(f"partition {message.partition()}: {error or 'a message without offset'} (at {offset})")


@contextmanager
def _consumer(options: dict[str, str]) -> Iterator[Consumer]:
    from confluent_kafka import Consumer, KafkaException

    settings: dict[str, Any] = {
        **options,
        "group.id": "millrace-ledger",
        "enable.auto.commit": False,
        "enable.partition.eof": True,
        # An offset that is gone must not silently become another one.
        "auto.offset.reset": "error",
    }
    consumer = Consumer(settings)
    try:
        yield consumer
    except KafkaException as error:
        raise NoAnswerError(_reason(error)) from error
    finally:
        consumer.close()


def _facts(topic: str, options: dict[str, str]) -> TopicFacts:
    from confluent_kafka import TopicCollection, TopicPartition

    admin = quiet_admin(options["bootstrap.servers"], options)
    described = admin.describe_topics(TopicCollection([topic]), request_timeout=_TIMEOUT_S)[topic].result()
    # Open transactions included: an end below what is archived would be taken for a truncation, for ever.
    with _consumer({**options, "isolation.level": "read_uncommitted"}) as consumer:
        held = {
            info.id: consumer.get_watermark_offsets(TopicPartition(topic, info.id), timeout=_TIMEOUT_S)
            for info in described.partitions
        }
    return TopicFacts(_identity(described.topic_id), held, _limits(admin, topic))


def _limits(admin: AdminClient, topic: str) -> dict[str, str]:
    """None where the login may not see them, or the broker has no such request: they only give a gap its name. Event
    Hubs was such a broker (https://github.com/Azure/azure-event-hubs-for-kafka/issues/61)."""
    from confluent_kafka import KafkaError, KafkaException
    from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        config = admin.describe_configs([resource], request_timeout=_TIMEOUT_S)[resource].result()
    except KafkaException as error:
        untold = {
            KafkaError.TOPIC_AUTHORIZATION_FAILED,
            KafkaError.UNSUPPORTED_VERSION,
            KafkaError._UNSUPPORTED_FEATURE,
        }
        if error.args[0].code() not in untold:
            raise
        return {}
    return {name: str(config[name].value) for name in ("cleanup.policy", "retention.ms", "retention.bytes")}


def _identity(topic_id: Any) -> str | None:
    """None for the all-zero id of a broker that has none."""
    if not (topic_id.get_most_significant_bits() or topic_id.get_least_significant_bits()):
        return None
    return str(topic_id)


def _reason(error: Any) -> str:
    """What librdkafka says, in one line."""
    told = error.args[0] if error.args else error
    return str(told.str() if hasattr(told, "str") else told)

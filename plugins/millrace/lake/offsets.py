"""A topic's offsets, as Kafka tells them."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from millrace.environment import Environment

__all__ = ["KafkaEnd", "current_end", "end_offsets"]

_TIMEOUT_S = 30


@dataclass(frozen=True)
class KafkaEnd:
    """`offsets`: per partition, the offset after the last record, as Kafka told when it was asked at `told_at`.

    Without offsets, `problem` says why there are none.
    """

    offsets: dict[int, int]
    told_at: datetime
    problem: str | None = None

    def to_json(self) -> dict[str, Any]:
        """For a trigger's arguments."""
        return {"offsets": {str(p): o for p, o in self.offsets.items()}, "told_at": self.told_at.isoformat()}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> KafkaEnd:
        offsets = {int(partition): offset for partition, offset in content["offsets"].items()}
        return cls(offsets, datetime.fromisoformat(content["told_at"]))


def current_end(environment: Environment, topic: str) -> KafkaEnd:
    """What Kafka tells now; a Kafka that does not answer, or has no such topic, is a problem and no error."""
    from confluent_kafka import KafkaException

    asked_at = datetime.now(UTC)  # before the answer: what it holds was there at this moment, or came later
    try:
        offsets = end_offsets(environment, topic)
    except KafkaException as error:
        return KafkaEnd({}, asked_at, f"Kafka at {environment.kafka_bootstrap} does not answer ({error})")
    return KafkaEnd(offsets, asked_at, None if offsets else f"Kafka has no topic {topic!r}")


def end_offsets(environment: Environment, topic: str) -> dict[int, int]:
    """Per partition, the offset after the last record. Raises KafkaException when Kafka does not answer in 30 s."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            **environment.kafka_options,
            "bootstrap.servers": environment.kafka_bootstrap,
            "group.id": "millrace-offsets",
            "enable.auto.commit": False,
        }
    )
    try:
        partitions = consumer.list_topics(topic, timeout=_TIMEOUT_S).topics[topic].partitions
        return {
            partition: consumer.get_watermark_offsets(TopicPartition(topic, partition), timeout=_TIMEOUT_S)[1]
            for partition in partitions
        }
    finally:
        consumer.close()

"""A topic's offsets, as Kafka tells them."""

from __future__ import annotations

from millrace.environment import Environment

__all__ = ["end_offsets"]

_TIMEOUT_S = 30


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

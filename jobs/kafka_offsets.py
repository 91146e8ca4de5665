"""Asking Kafka from a driver which offsets it holds."""

from __future__ import annotations

from datetime import timedelta
from typing import Any, Dict, Iterable

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from jobs.errors import MillraceError
from jobs.kafka_admin import KafkaAdmin, kafka_admin, reason_of
from jobs.lost_offsets import HeldOffsets

__all__ = ["describe", "end_offset", "held_offsets"]

_TIMEOUT = timedelta(seconds=30)


def held_offsets(spark: SparkSession, bootstrap: str, topic: str) -> HeldOffsets:
    """What Kafka holds of the topic now. Raises MillraceError when it does not say within 30 s, or has no such topic.

    The end is that of all records, committed or not: no query is ever beyond it.
    """
    try:
        with kafka_admin(spark, bootstrap, _TIMEOUT) as admin:
            return _ask(admin, topic)
    except Py4JJavaError as error:
        raise MillraceError(
            f"topic {topic!r}: Kafka at {bootstrap} does not say which offsets it holds: {reason_of(error)}; see that"
            " it runs, that it has the topic (the DAG 'provision' creates it), and start again"
        ) from error


def _ask(admin: KafkaAdmin, topic: str) -> HeldOffsets:
    description = describe(admin, [topic])[topic]
    numbers = [int(each.partition()) for each in description.partitions()]
    offsets = admin.kafka.clients.admin.OffsetSpec
    earliest, latest = (_offsets(admin, topic, numbers, which) for which in (offsets.earliest(), offsets.latest()))
    topic_id = str(description.topicId()) if _has(description, "topicId") else None
    return HeldOffsets(topic_id, {number: (earliest[number], latest[number]) for number in numbers})


def describe(admin: KafkaAdmin, topics: Iterable[str]) -> Dict[str, Any]:
    """Kafka's TopicDescription of each. Raises Py4JJavaError where one is not there, or may not be described."""
    names = admin.java.java.util.ArrayList()
    for topic in topics:
        names.add(topic)
    described = admin.client.describeTopics(names)
    # `all` up to Kafka 3.0, which 4.0 no longer has.
    found = admin.answer(described.allTopicNames() if _has(described, "allTopicNames") else described.all())
    return {str(name): found.get(name) for name in found}


def end_offset(admin: KafkaAdmin, topic: str, partition: int) -> int:
    """The offset after the partition's last record, committed or not. Raises Py4JJavaError where Kafka fails."""
    return _offsets(admin, topic, [partition], admin.kafka.clients.admin.OffsetSpec.latest())[partition]


def _offsets(admin: KafkaAdmin, topic: str, numbers: Any, which: Any) -> Dict[int, int]:
    asked = admin.java.java.util.HashMap()
    places = {number: admin.kafka.common.TopicPartition(topic, number) for number in numbers}
    for place in places.values():
        asked.put(place, which)
    found = admin.answer(admin.client.listOffsets(asked).all())
    return {number: int(found.get(place).offset()) for number, place in places.items()}


def _has(thing: Any, method: str) -> bool:
    return any(each.getName() == method for each in thing.getClass().getMethods())

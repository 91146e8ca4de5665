"""Asking Kafka from a driver, which has no Python client: through the Java one that Spark's connector brings."""

from __future__ import annotations

from typing import Any, Dict

from py4j.java_gateway import JavaClass
from py4j.protocol import Py4JError, Py4JJavaError
from pyspark.sql import SparkSession

from jobs.connection import kafka_options
from jobs.errors import MillraceError
from jobs.lost_offsets import HeldOffsets

__all__ = ["held_offsets"]

_TIMEOUT_S = 30
# Databricks ships the connector with a client under a name of its own.
_PACKAGES = ("org.apache.kafka", "kafkashaded.org.apache.kafka")


def held_offsets(spark: SparkSession, bootstrap: str, topic: str) -> HeldOffsets:
    """What Kafka holds of the topic now. Raises MillraceError when it does not say within 30 s, or has no such topic.

    The end is that of all records, committed or not: no query is ever beyond it.
    """
    java: Any = spark.sparkContext._jvm
    settings = java.java.util.HashMap()
    for name, value in {**kafka_options(spark), **_settings(bootstrap)}.items():
        settings.put(name, value)
    try:
        kafka = _package(java)
        admin = kafka.clients.admin.AdminClient.create(settings)
        try:
            return _ask(java, kafka, admin, topic)
        finally:
            admin.close()
    except Py4JJavaError as error:
        raise MillraceError(
            f"topic {topic!r}: Kafka at {bootstrap} does not say which offsets it holds: {_reason(error)}; see that it"
            " runs, that it has the topic (the DAG 'provision' creates it), and start again"
        ) from error


def _settings(bootstrap: str) -> Dict[str, str]:
    millis = str(_TIMEOUT_S * 1000)
    return {"bootstrap.servers": bootstrap, "default.api.timeout.ms": millis, "request.timeout.ms": millis}


def _ask(java: Any, kafka: Any, admin: Any, topic: str) -> HeldOffsets:
    topics = java.java.util.Collections.singletonList(topic)
    described = admin.describeTopics(topics)
    # `all` up to Kafka 3.0, which 4.0 no longer has.
    named = described.allTopicNames() if _has(described, "allTopicNames") else described.all()
    description = _got(java, named).get(topic)
    numbers = [int(each.partition()) for each in description.partitions()]
    earliest, latest = (
        _offsets(java, kafka, admin, topic, numbers, which)
        for which in (kafka.clients.admin.OffsetSpec.earliest(), kafka.clients.admin.OffsetSpec.latest())
    )
    topic_id = str(description.topicId()) if _has(description, "topicId") else None
    return HeldOffsets(topic_id, {number: (earliest[number], latest[number]) for number in numbers})


def _offsets(java: Any, kafka: Any, admin: Any, topic: str, numbers: Any, which: Any) -> Dict[int, int]:
    asked = java.java.util.HashMap()
    places = {number: kafka.common.TopicPartition(topic, number) for number in numbers}
    for place in places.values():
        asked.put(place, which)
    found = _got(java, admin.listOffsets(asked).all())
    return {number: int(found.get(place).offset()) for number, place in places.items()}


def _got(java: Any, future: Any) -> Any:
    return future.get(_TIMEOUT_S, java.java.util.concurrent.TimeUnit.SECONDS)


def _package(java: Any) -> Any:
    for name in _PACKAGES:
        found = java
        for part in name.split("."):
            found = getattr(found, part)
        if isinstance(found.clients.admin.AdminClient, JavaClass):  # of an unknown name py4j makes a JavaPackage
            return found
    raise MillraceError(
        f"no Kafka client is on the driver's class path (looked for {' and '.join(_PACKAGES)}): add the Kafka connector"
        " of this Spark (spark-sql-kafka-0-10 with kafka-clients)"
    )


def _has(thing: Any, method: str) -> bool:
    return any(each.getName() == method for each in thing.getClass().getMethods())


def _reason(error: Py4JError) -> str:
    cause = getattr(error, "java_exception", None)
    while cause is not None and cause.getCause() is not None:
        cause = cause.getCause()
    return str(error) if cause is None else str(cause.toString())

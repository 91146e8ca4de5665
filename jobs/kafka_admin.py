"""Kafka's Java client for administrators, which Spark's connector brings: a driver has no Python client."""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Dict, Iterator

from py4j.java_gateway import JavaClass
from py4j.protocol import Py4JError
from pyspark.sql import SparkSession

from jobs.connection import kafka_options
from jobs.errors import MillraceError

__all__ = ["KafkaAdmin", "kafka_admin", "reason_of"]

# Databricks ships the connector with a client under a name of its own.
_PACKAGES = ("org.apache.kafka", "kafkashaded.org.apache.kafka")


@dataclass(frozen=True)
class KafkaAdmin:
    """`client` is the AdminClient, `kafka` the package of its classes, `java` the JVM."""

    client: Any
    kafka: Any
    java: Any
    timeout: timedelta

    def answer(self, future: Any) -> Any:
        """What Kafka answers. Raises Py4JJavaError where it refuses, or does not answer in time."""
        return future.get(int(self.timeout.total_seconds()), self.java.java.util.concurrent.TimeUnit.SECONDS)


@contextmanager
def kafka_admin(spark: SparkSession, bootstrap: str, timeout: timedelta) -> Iterator[KafkaAdmin]:
    """A client with the session's security settings, until the end of the block.

    Raises Py4JJavaError where Kafka's client refuses its settings, MillraceError where there is none.
    """
    java: Any = spark.sparkContext._jvm
    settings = java.java.util.HashMap()
    for name, value in {**kafka_options(spark), **_settings(bootstrap, timeout)}.items():
        settings.put(name, value)
    kafka = _package(java)
    client = kafka.clients.admin.AdminClient.create(settings)
    try:
        yield KafkaAdmin(client, kafka, java, timeout)
    finally:
        client.close()


def reason_of(error: Py4JError) -> str:
    """What Java said, by its innermost cause."""
    cause = getattr(error, "java_exception", None)
    while cause is not None and cause.getCause() is not None:
        cause = cause.getCause()
    return str(error) if cause is None else str(cause.toString())


def _settings(bootstrap: str, timeout: timedelta) -> Dict[str, str]:
    millis = str(int(timeout.total_seconds() * 1000))
    return {"bootstrap.servers": bootstrap, "default.api.timeout.ms": millis, "request.timeout.ms": millis}


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

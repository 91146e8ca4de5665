"""Proves that Spark reaches every Kafka broker by its advertised name: from the driver, and from the executors.

A broker's name that only its own network resolves lets a stream start, and then wait for ever: Kafka's clients ask any
broker for the names of all, and go to these. What brokers advertise is told to this job: Kafka's Java client does not
say it where it reaches none of them. Decisions 26 and 39.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any, Collection, Dict, Iterable, Iterator, List, Optional, Tuple

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from jobs.broker_reads import led_partitions, why_unread
from jobs.connection import kafka_options
from jobs.kafka_admin import kafka_admin, reason_of
from jobs.kafka_tls import tls_of, why_no_tls
from jobs.reach import TIMEOUT_S, host_and_port, why_unreached

__all__ = ["BROKER_CHECK", "check_brokers"]

BROKER_CHECK = "broker_check"
"""Name of the jobs that do this, and of the folder of their results."""

_TIMEOUT = timedelta(seconds=TIMEOUT_S)
_Sight = Tuple[str, str, Optional[str]]  # place, broker, why it is not reached from there


def check_brokers(spark: SparkSession, addresses: List[str], topics: Collection[str]) -> Dict[str, Any]:
    """What was seen: `{"places": [name], "brokers": [{"address", "unreached": {place: why}, "read"}]}`.

    `addresses` are as the brokers advertise them, `host:port`. `read` is the partition, of one of the `topics` that are
    there, that executors asked the broker for, `topic[number]`; None where it leads none, or is not reached anyway.
    """
    seen = [*_from_driver(spark, addresses), *_from_executors(spark, addresses)]
    places = sorted({place for place, _, _ in seen})
    reached = [each for each in addresses if not _reasons(seen, each)]
    led = led_partitions(spark, reached, topics, _TIMEOUT) if reached else {}
    for address, partition in led.items():
        if unread := why_unread(spark, address, partition, _tasks(spark), _TIMEOUT):
            seen.append((unread[0], address, unread[1]))
    brokers = [
        {"address": each, "unreached": _reasons(seen, each), "read": str(led[each]) if each in led else None}
        for each in addresses
    ]
    return {"places": places, "brokers": brokers}


def _from_driver(spark: SparkSession, addresses: List[str]) -> Iterator[_Sight]:
    """A connection to each; where one is accepted, also whether Kafka's own client gets in: its TLS and its login."""
    place = f"driver on {socket.gethostname()}"
    for address in addresses:
        why = why_unreached(*host_and_port(address))
        yield place, address, why or _why_refused(spark, address)


def _why_refused(spark: SparkSession, address: str) -> Optional[str]:
    try:
        with kafka_admin(spark, address, _TIMEOUT) as admin:
            admin.answer(admin.client.describeCluster().clusterId())
    except Py4JJavaError as error:
        return f"it is connected to, but Kafka's client does not get in: {reason_of(error)}"
    return None


def _from_executors(spark: SparkSession, addresses: List[str]) -> List[_Sight]:
    """A connection to each broker and, where clients encrypt, a TLS handshake. No secret goes into a task for it."""
    tasks, tls = _tasks(spark), tls_of(kafka_options(spark))

    def look(_: Iterable[int]) -> Iterator[_Sight]:
        place = f"executor on {socket.gethostname()}"
        for address in addresses:
            host, port = host_and_port(address)
            why = why_unreached(host, port)
            if why is None and tls is not None:
                why = why_no_tls(host, port, tls)
            yield place, address, why

    return sorted(set(spark.sparkContext.parallelize(range(tasks), tasks).mapPartitions(look).collect()), key=str)


def _tasks(spark: SparkSession) -> int:
    """Spark hands a stage's tasks to its executors in turn, so with more tasks than executors each has one."""
    executors = len(spark.sparkContext._jsc.sc().statusTracker().getExecutorInfos())
    return max(2 * executors, spark.sparkContext.defaultParallelism)


def _reasons(seen: List[_Sight], address: str) -> Dict[str, str]:
    return {place: why for place, at, why in seen if at == address and why is not None}

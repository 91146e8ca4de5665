"""Proves that Spark reaches every Kafka broker by its advertised name: from the driver, and from the executors.

A broker's name that only its own network resolves lets a stream start, and then wait for ever: Kafka's clients ask any
broker for the names of all, and go to these. What brokers advertise is told to this job: Kafka's Java client does not
say it where it reaches none of them.
"""

from __future__ import annotations

import socket
from datetime import timedelta
from typing import Any, Dict, Iterable, Iterator, List, Optional, Tuple

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from jobs.kafka_admin import kafka_admin, reason_of
from jobs.reach import TIMEOUT_S, host_and_port, why_unreached

__all__ = ["BROKER_CHECK", "check_brokers"]

BROKER_CHECK = "broker_check"
"""Name of the jobs that do this, and of the folder of their results."""

_TIMEOUT = timedelta(seconds=TIMEOUT_S)
_Sight = Tuple[str, str, Optional[str]]  # place, broker, why it is not reached from there


def check_brokers(spark: SparkSession, addresses: List[str]) -> Dict[str, Any]:
    """What was seen: `{"places": [name], "brokers": [{"address", "unreached": {place: why}}]}`.

    `addresses` are as the brokers advertise them, `host:port`.
    """
    seen = [*_from_driver(spark, addresses), *_from_executors(spark, addresses)]
    brokers = [{"address": address, "unreached": _reasons(seen, address)} for address in addresses]
    return {"places": sorted({place for place, _, _ in seen}), "brokers": brokers}


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
    """Spark hands a stage's tasks to its executors in turn, so with more tasks than executors each has one."""
    context = spark.sparkContext
    executors = len(context._jsc.sc().statusTracker().getExecutorInfos())
    tasks = max(2 * executors, context.defaultParallelism)

    def look(_: Iterable[int]) -> Iterator[_Sight]:
        place = f"executor on {socket.gethostname()}"
        for address in addresses:
            yield place, address, why_unreached(*host_and_port(address))

    return sorted(set(context.parallelize(range(tasks), tasks).mapPartitions(look).collect()), key=str)


def _reasons(seen: List[_Sight], address: str) -> Dict[str, str]:
    return {place: why for place, at, why in seen if at == address and why is not None}

"""Proves that Spark's executors get in at a Kafka broker as streams do: they read a partition that it leads."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Collection, Dict, List, Optional, Tuple

from py4j.protocol import Py4JJavaError
from pyspark.sql import SparkSession

from jobs.errors import MillraceError
from jobs.kafka import client_options
from jobs.kafka_admin import kafka_admin, reason_of
from jobs.kafka_offsets import describe, end_offset

__all__ = ["Led", "led_partitions", "why_unread"]

_POLL_MS = "1000"
_FAILED = re.compile(r"\(TID \d+\) \((\S+) executor [^)]*\): (.*)", re.DOTALL)
_CAUSE = re.compile(r"^Caused by: (.*)$", re.MULTILINE)


@dataclass(frozen=True)
class Led:
    """A partition, and the offset after its last record."""

    topic: str
    partition: int
    end: int

    def __str__(self) -> str:
        return f"{self.topic}[{self.partition}]"


def led_partitions(
    spark: SparkSession, brokers: List[str], topics: Collection[str], timeout: timedelta
) -> Dict[str, Led]:
    """One partition of these topics for each of the `brokers`, `host:port`, that leads any.

    Topics that are not there are left out. Raises MillraceError where Kafka does not say it.
    """
    try:
        with kafka_admin(spark, ",".join(brokers), timeout) as admin:
            there = sorted(set(topics) & {str(name) for name in admin.answer(admin.client.listTopics().names())})
            found = _by_leader(describe(admin, there)) if there else {}
            return {at: Led(*place, end_offset(admin, *place)) for at, place in found.items() if at in brokers}
    except Py4JJavaError as error:
        raise MillraceError(
            f"Kafka at {', '.join(brokers)} does not say which broker leads the partitions of {', '.join(topics)}:"
            f" {reason_of(error)}; let the environment's login describe and read these topics"
        ) from error


def why_unread(
    spark: SparkSession, address: str, led: Led, tasks: int, timeout: timedelta
) -> Optional[Tuple[str, str]]:
    """None where `tasks` tasks get in at the broker and may read the partition; else (place, what goes wrong).

    They ask for what is behind its end: no record is needed there, and none is moved. A consumer logs in, asks for
    records, and then for the partition's ends; that there are none is no error where holes are none (failOnDataLoss).
    """
    millis = str(int(timeout.total_seconds() * 1000))
    reader = (
        spark.read.format("kafka")
        .options(**client_options(spark, address))
        .options(**{"kafka.request.timeout.ms": millis, "kafka.default.api.timeout.ms": millis})
        .options(**{"kafkaConsumer.pollTimeoutMs": _POLL_MS, "failOnDataLoss": "false", "minPartitions": str(tasks)})
        .option("assign", json.dumps({led.topic: [led.partition]}))
        .option("startingOffsets", _offset(led, led.end))
        .option("endingOffsets", _offset(led, led.end + tasks))
    )
    try:
        reader.load().select("offset").collect()
    except Py4JJavaError as error:
        return _told(error, led)
    return None


def _by_leader(descriptions: Dict[str, Any]) -> Dict[str, Tuple[str, int]]:
    """The first partition that each broker leads, by the broker's address."""
    found: Dict[str, Tuple[str, int]] = {}
    for topic, description in sorted(descriptions.items()):
        for each in description.partitions():
            if (leader := each.leader()) is not None:
                host = str(leader.host())
                address = f"[{host}]:{leader.port()}" if ":" in host else f"{host}:{leader.port()}"
                found.setdefault(address, (topic, int(each.partition())))
    return found


def _offset(led: Led, offset: int) -> str:
    return json.dumps({led.topic: {str(led.partition): offset}})


def _told(error: Py4JJavaError, led: Led) -> Tuple[str, str]:
    """Spark says on which executor a task failed last, and with what; where it says none, the driver itself failed."""
    message = str(error.java_exception.getMessage())
    failed = _FAILED.search(message)
    if failed is None:
        return "driver", f"{led} is not read: {reason_of(error)}"
    causes = _CAUSE.findall(failed.group(2))
    cause = causes[-1] if causes else failed.group(2).partition("\n")[0]
    return f"executor on {failed.group(1)}", f"{led} is not read: {cause.strip()}"

"""Making the declared topics on a Kafka cluster."""

from __future__ import annotations

import logging
from collections.abc import Iterable

from millrace.declared_topics import KafkaTopic
from millrace.environment import Environment
from millrace.kafka_brokers import require_reachable

__all__ = ["make_topics"]

_log = logging.getLogger(__name__)
_REPLICAS = 3


def make_topics(environment: Environment, topics: Iterable[KafkaTopic]) -> dict[str, str]:
    """What was done to each topic, by name; again, nothing is.

    A partition has three copies where there are as many brokers, and all but one of them confirm a write. Raises
    MillraceError where a broker is not reached from here, where Kafka refuses, and where a topic exists with another
    number of partitions.
    """
    brokers = require_reachable(environment)
    _log.info("brokers: %s", ", ".join(brokers.values()))
    replicas = min(_REPLICAS, len(brokers))
    done = {topic.name: _made(environment, topic, replicas) for topic in topics}
    for name, what in done.items():
        _log.info("topic %s: %s", name, what)
    return done


def _made(environment: Environment, topic: KafkaTopic, replicas: int) -> str:
    from millrace.stack.topics import ensure_settings, ensure_topic, fewest_replicas

    settings = _settings(topic, replicas)
    if ensure_topic(environment, topic.name, topic.partitions, settings, replicas):
        return f"created, {topic.partitions} partitions, {replicas} copies of each, {settings}"
    if (copies := fewest_replicas(environment, topic.name)) < replicas:
        _log.warning(
            "topic %s: a partition has %d copies, %d brokers could hold %d: a broker that dies may take records along; "
            "give it more with kafka-reassign-partitions",
            *(topic.name, copies, replicas, replicas),
        )
        settings = _settings(topic, max(copies, 1))
    changed = ensure_settings(environment, topic.name, settings)
    return f"existed, changed: {changed}" if changed else "existed"


def _settings(topic: KafkaTopic, replicas: int) -> dict[str, str]:
    kept = -1 if topic.retention is None else int(topic.retention.total_seconds() * 1000)
    return {"retention.ms": str(kept), "min.insync.replicas": str(max(1, replicas - 1))}

"""Topics on the broker."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import as_completed

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from jobs.errors import MillraceError
from millrace.environment import Environment

__all__ = ["ensure_topic"]

_TIMEOUT_S = 15


def ensure_topic(environment: Environment, name: str, partitions: int, config: Mapping[str, str] | None = None) -> bool:
    """Make the topic `name`; False where it exists with this many partitions (its settings stay as they are).

    Raises MillraceError where it exists with another number of partitions, and where Kafka does not answer.
    """
    admin = AdminClient({"bootstrap.servers": environment.kafka_bootstrap, "log_level": 0, **environment.kafka_options})
    try:
        existing = admin.list_topics(timeout=_TIMEOUT_S).topics.get(name)
        if existing is None and _create(admin, NewTopic(name, partitions, config=dict(config or {}))):
            return True
        found = existing or admin.list_topics(timeout=_TIMEOUT_S).topics[name]
    except KafkaException as error:
        raise MillraceError(
            f"topic {name!r}: Kafka at {environment.kafka_bootstrap} answers {error}; check `millrace status`"
        ) from error
    if len(found.partitions) != partitions:
        raise MillraceError(
            f"topic {name!r}: it has {len(found.partitions)} partitions, {partitions} are declared; "
            f"declare {len(found.partitions)}, since changing the number would move keys between partitions"
        )
    return False


def _create(admin: AdminClient, topic: NewTopic) -> bool:
    """Whether this call made the topic; False where another was quicker."""
    for done in as_completed(admin.create_topics([topic], operation_timeout=_TIMEOUT_S).values()):
        try:
            done.result()
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_ALREADY_EXISTS:
                return False
            raise
    return True

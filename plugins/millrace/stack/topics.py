"""Topics on the broker."""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import as_completed
from datetime import timedelta

from confluent_kafka import KafkaError, KafkaException
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import AlterConfigOpType, ConfigEntry, ConfigResource
from confluent_kafka.admin._metadata import TopicMetadata
from confluent_kafka.cimpl import NewTopic

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.kafka_brokers import admin_of
from millrace.waiting import until

__all__ = ["ensure_settings", "ensure_topic", "fewest_replicas"]

_TIMEOUT_S = 15


def ensure_topic(
    environment: Environment,
    name: str,
    partitions: int,
    config: Mapping[str, str] | None = None,
    replicas: int | None = None,
) -> bool:
    """Make the topic `name`; False where it exists with this many partitions (its settings stay as they are).

    `replicas` of each partition: by default as many as the brokers are set to. Raises MillraceError where the topic
    exists with another number of partitions, and where Kafka does not answer.
    """
    admin = admin_of(environment)
    try:
        existing = admin.list_topics(timeout=_TIMEOUT_S).topics.get(name)
        copies = -1 if replicas is None else replicas
        is_made = existing is None and _create(admin, NewTopic(name, partitions, copies, config=dict(config or {})))
        found = existing or _listed(admin, name)
    except KafkaException as error:
        raise MillraceError(
            f"topic {name!r}: Kafka at {environment.kafka_bootstrap} answers {error}; check `millrace status`"
        ) from error
    if len(found.partitions) != partitions:
        raise MillraceError(
            f"topic {name!r}: it has {len(found.partitions)} partitions, {partitions} are declared; "
            f"declare {len(found.partitions)}, since changing the number would move keys between partitions"
        )
    return is_made


def ensure_settings(environment: Environment, name: str, config: Mapping[str, str]) -> dict[str, str]:
    """Give the topic these settings; those that changed, as `<old> -> <new>` by name. Others stay as they are.

    Raises MillraceError where Kafka refuses.
    """
    admin, topic = admin_of(environment), ConfigResource(ConfigResource.Type.TOPIC, name)
    try:
        (described,) = admin.describe_configs([topic]).values()
        now = {setting: entry.value for setting, entry in described.result(_TIMEOUT_S).items()}
        changed = {setting: value for setting, value in config.items() if now.get(setting) != value}
        for setting, value in changed.items():
            entry = ConfigEntry(setting, value, incremental_operation=AlterConfigOpType.SET)
            topic.add_incremental_config(entry)
        if changed:
            (altered,) = admin.incremental_alter_configs([topic]).values()
            altered.result(_TIMEOUT_S)
    except KafkaException as error:
        raise MillraceError(
            f"topic {name!r}: Kafka at {environment.kafka_bootstrap} does not give it {dict(config)}: {error}; let the"
            " login alter topics, or set it there"
        ) from error
    return {setting: f"{now.get(setting)} -> {value}" for setting, value in changed.items()}


def fewest_replicas(environment: Environment, name: str) -> int:
    """How many copies the partition of the topic has that has the fewest; 0 where there is no such topic."""
    found = admin_of(environment).list_topics(timeout=_TIMEOUT_S).topics.get(name)
    return min((len(each.replicas) for each in found.partitions.values()), default=0) if found else 0


def _listed(admin: AdminClient, name: str) -> TopicMetadata:
    """The topic, which is there: brokers learn of a new one one after the other, and any of them may be asked."""
    found: TopicMetadata | None = None

    def is_listed() -> bool:
        nonlocal found
        found = admin.list_topics(timeout=_TIMEOUT_S).topics.get(name)
        return found is not None and bool(found.partitions)

    if not until(is_listed, timedelta(seconds=_TIMEOUT_S), timedelta(milliseconds=100)) or found is None:
        raise MillraceError(
            f"topic {name!r}: it was made, but after {_TIMEOUT_S} s a broker does not list it; try again"
        )
    return found


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

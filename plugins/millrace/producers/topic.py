"""Is the topic there, and will it keep what is sent? Asked before the first record."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta

from confluent_kafka import KafkaException, Producer
from confluent_kafka.admin import ConfigResource  # type: ignore[attr-defined]

from jobs.errors import MillraceError
from millrace.kafka_brokers import quiet_admin

_PATIENCE_S = 5


class TopicUnusableError(MillraceError):
    """Kafka does not answer, or does not have the topic."""


def check_topic(producer: Producer, topic: str, bootstrap: str) -> None:
    """Raises `TopicUnusableError`; asks for all topics, because asking for one could create it."""
    try:
        topics = producer.list_topics(timeout=_PATIENCE_S).topics
    except KafkaException as failed:
        raise TopicUnusableError(
            f"Kafka at {bootstrap}: {failed.args[0].str()}; it must answer within {_PATIENCE_S} s; "
            "start it, or name the right environment"
        ) from failed
    if topic not in topics:
        known = ", ".join(sorted(name for name in topics if not name.startswith("__"))) or "none"
        raise TopicUnusableError(
            f"topic {topic!r} does not exist at {bootstrap}; a topic is created before it is written; "
            f"create it, or choose one of: {known}"
        )


def retention(topic: str, bootstrap: str, options: Mapping[str, str] | None = None) -> timedelta | None:
    """How long Kafka keeps the topic's records after their timestamps; None is for ever.

    Old timestamps count: a record of last year in a topic of seven days is deleted when its segment is closed.
    """
    admin = quiet_admin(bootstrap, options or {})
    resource = ConfigResource(ConfigResource.Type.TOPIC, topic)
    try:
        config = admin.describe_configs([resource], request_timeout=_PATIENCE_S)[resource].result()
    except KafkaException as failed:
        raise TopicUnusableError(
            f"topic {topic!r} at {bootstrap}: its settings cannot be read ({failed.args[0].str()}); "
            "they tell how long records stay; allow DescribeConfigs, or choose another topic"
        ) from failed
    if "delete" not in str(config["cleanup.policy"].value):
        return None
    kept_ms = int(config["retention.ms"].value)
    return None if kept_ms < 0 else timedelta(milliseconds=kept_ms)

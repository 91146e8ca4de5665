"""The topics that a Kafka has to have: those that are declared to be read, and those that alerts go to."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from jobs.errors import MillraceError
from jobs.pipelines import declared_alerts, pipelines_with_alerts
from jobs.topics import TOPICS

__all__ = ["KafkaTopic", "declared_topics"]


@dataclass(frozen=True)
class KafkaTopic:
    """What of a topic its brokers know. `retention`: how long a record is kept at least; None: for ever."""

    name: str
    partitions: int
    retention: timedelta | None


def declared_topics() -> list[KafkaTopic]:
    """All of them, by name. Raises MillraceError where two declarations of one topic differ.

    An alerts topic may be declared in jobs/topics.py too, to be archived.
    """
    found = {topic.name: KafkaTopic(topic.name, topic.partitions, topic.retention) for topic in TOPICS.values()}
    for pipeline in pipelines_with_alerts():
        alerts = declared_alerts(pipeline)
        topic = KafkaTopic(alerts.topic, alerts.partitions, alerts.retention)
        if found.setdefault(topic.name, topic) != topic:
            raise MillraceError(
                f"topic {topic.name!r}: pipeline {pipeline.name!r} declares {topic}, which is declared elsewhere as"
                f" {found[topic.name]}; give both the same partitions and retention"
            )
    return [found[name] for name in sorted(found)]

"""Event Hubs in the place of a Kafka cluster: its event hubs are the declared topics."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any

from jobs.errors import MillraceError, UsageError
from millrace.declared_topics import KafkaTopic

__all__ = ["asked_hubs", "require_as_declared"]

# https://learn.microsoft.com/azure/event-hubs/event-hubs-quotas#basic-vs-standard-vs-premium-vs-dedicated-tiers
_LONGEST = {"Standard": timedelta(days=7), "Premium": timedelta(days=90)}


def asked_hubs(topics: Iterable[KafkaTopic], tier: str) -> list[dict[str, Any]]:
    """`eventHubsTopics` of main.json. Raises UsageError for what a namespace of this tier does not keep that long."""
    if tier not in _LONGEST:
        raise UsageError(f"parameter 'eventHubsSku' is {tier!r}; use one of {', '.join(_LONGEST)}")
    return [
        {"name": topic.name, "partitions": topic.partitions, "retentionHours": _hours(topic, _LONGEST[tier], tier)}
        for topic in topics
    ]


def require_as_declared(topic: KafkaTopic, properties: Mapping[str, Any]) -> str:
    """What an event hub has, in words. Raises MillraceError where that is not what is declared."""
    partitions = properties["partitionCount"]
    hours = properties["retentionDescription"]["retentionTimeInHours"]
    if partitions != topic.partitions:
        raise MillraceError(
            f"topic {topic.name!r}: its event hub has {partitions} partitions, {topic.partitions} are declared; Event"
            " Hubs changes no number afterwards: declare what is there, or a topic of another name, then run the DAG"
            " `provision` again"
        )
    if topic.retention is None or hours != _rounded_up(topic.retention):
        raise MillraceError(
            f"topic {topic.name!r}: its event hub keeps records for {hours} h, declared is {topic.retention}: run the"
            " DAG `provision` again, which sets it, without `eventHubsTopics` among *Parameters*"
        )
    return f"{partitions} partitions, kept for {hours} h"


def _hours(topic: KafkaTopic, longest: timedelta, tier: str) -> int:
    kept = topic.retention
    if kept is None or kept > longest:
        more = ", or give the parameter `eventHubsSku` Premium (90 days)" if tier == "Standard" else ""
        raise UsageError(
            f"topic {topic.name!r}: retention is {kept or 'None (for ever)'}, and Event Hubs {tier} keeps a record for"
            f" {longest.days} days at most; declare that or less{more}, or choose a Kafka cluster"
        )
    return _rounded_up(kept)


def _rounded_up(retention: timedelta) -> int:
    """Event Hubs keeps for whole hours, Kafka for at least as long as is declared."""
    return -(-retention // timedelta(hours=1))

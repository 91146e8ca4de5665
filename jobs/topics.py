"""The topics. Declare each once; pipelines share them."""

from __future__ import annotations

from datetime import timedelta
from typing import Dict

from jobs.errors import UsageError
from jobs.topic import Field, Topic

__all__ = ["TOPICS", "find_topic", "stock_ticks"]

stock_ticks = Topic(
    name="stock_ticks",
    fields=(
        Field("symbol", "string"),
        Field("event_time", "timestamp"),
        Field("price", "decimal(18, 4)"),
        Field("volume", "long"),
    ),
    event_time="event_time",
    allowed_lateness=timedelta(minutes=10),  # twice what a producer's late price is late at most by default
)

TOPICS: Dict[str, Topic] = {topic.name: topic for topic in (stock_ticks,)}


def find_topic(name: str) -> Topic:
    """The declared topic of this name. Raises UsageError when there is none."""
    if name not in TOPICS:
        raise UsageError(f"topic {name!r} is not declared in jobs/topics.py; known: {', '.join(sorted(TOPICS))}")
    return TOPICS[name]

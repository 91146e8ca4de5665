"""How far the streams are, from their progress journals and Kafka. See `jobs.progress` for what a line holds."""

from __future__ import annotations

import json
from typing import Any

from jobs.checkpoint import Checkpoint, of_topic
from jobs.journal import whole_lines
from jobs.lake import Lake, alerts_query, archive_query, speed_query
from jobs.pipelines import find_pipeline, pipeline_names, pipelines_with_alerts
from jobs.topics import TOPICS
from millrace.environment import Environment
from millrace.lake.offsets import end_offsets
from millrace.lake.store import LakeStore
from millrace.lake.text_files import TextFiles

__all__ = ["StreamProgress", "topic_of_query"]

# A crash may leave a torn line and an empty one behind a whole one.
_TAIL = 5


def topic_of_query(query: str) -> str:
    """The name of the topic that a declared stream reads, of whichever version; raises KeyError for another query."""
    topics = {archive_query(topic): topic for topic in TOPICS}
    topics |= {alerts_query(pipeline.name): pipeline.topic.name for pipeline in pipelines_with_alerts()}
    if query in topics:
        return topics[query]
    speed = {speed_query(name): name for name in pipeline_names()}
    return find_pipeline(speed[query.rpartition(".")[0]]).topic.name


class StreamProgress:
    """The streams of one environment. Every method asks the lake, and may raise what its client raises."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._store = LakeStore(environment)

    def last(self, query: str) -> dict[str, Any] | None:
        """The newest line of the query's journal; None before its first micro-batch with records."""
        for path in reversed(self._store.list(f"progress/{query}")):
            lines = "\n".join(self._store.read_lines(path, tail=_TAIL))
            if found := list(whole_lines(lines)):
                return found[-1]
        return None

    def processed(self, query: str) -> dict[int, int]:
        """Per partition, the offset below which everything is processed; empty before the first micro-batch.

        Of alerts, which begin where Kafka ended then: where they began.
        """
        last, topic = self.last(query), topic_of_query(query)
        if last is None:
            checkpoint = Checkpoint(TextFiles(self._store), Lake("").checkpoint(query, topic))
            return of_topic(checkpoint.first_offsets(), topic)
        return _offsets(last["end_offsets"], topic)

    def lag(self, query: str) -> int | None:
        """Records in Kafka that the query has not processed; None where the topic does not exist."""
        try:
            ends = end_offsets(self._environment, topic_of_query(query))
        except KeyError:
            return None
        return behind(self.processed(query), ends)

    def covers(self, query: str, offsets: dict[int, int]) -> bool:
        """Whether everything below these offsets is processed."""
        return behind(self.processed(query), offsets) == 0


def behind(processed: dict[int, int], ends: dict[int, int]) -> int:
    """Records between `processed` and `ends`; partitions that `processed` lacks count from offset 0."""
    return sum(max(0, end - processed.get(partition, 0)) for partition, end in ends.items())


def _offsets(told: Any, topic: str) -> dict[int, int]:
    """From Spark's JSON, which some versions give as text in text."""
    found = json.loads(told) if isinstance(told, str) else told
    return {int(partition): int(offset) for partition, offset in (found or {}).get(topic, {}).items()}

"""How far the two streams are."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta

from jobs.lake import Lake
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.offsets import end_offsets
from millrace.lake.progress import StreamProgress
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table
from millrace.platforms import platform_for
from millrace.supervision.control import followed_stream

__all__ = ["Streams"]


class Streams:
    """The streams of one environment."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._platform = platform_for(environment)
        self._store = LakeStore(environment)
        self._progress = StreamProgress(environment)

    def is_up(self, query: str) -> bool:
        """Whether the query's live driver holds the query's lock: it has started, and reads."""
        stream = self._stream(query)
        running = self._platform.find(stream)
        lock = self._store.read_json(Lake("").lock(stream))
        if running is None or lock is None or lock.get("owner") != running.owner:
            return False
        return datetime.fromisoformat(lock["expires_at"]) > datetime.now(UTC)

    def covers(self, query: str, offsets: dict[int, int]) -> bool:
        """Whether the query is up and has processed everything below these offsets."""
        return self.is_up(query) and self._progress.covers(self._stream(query), offsets)

    def _stream(self, query: str) -> str:
        """That of the version which the query's task supervises."""
        return followed_stream(self._store, query) or query

    def ends(self, topic: Topic) -> dict[int, int]:
        """What Kafka holds now."""
        return end_offsets(self._environment, topic.name)

    def ends_after(self, topic: Topic, wait: timedelta) -> dict[int, int]:
        """What Kafka will hold then: equal to what it holds now where nobody writes."""
        time.sleep(wait.total_seconds())
        return self.ends(topic)

    def archived_dates(self, topic: Topic) -> set[str]:
        """The event dates (ISO) that the raw archive has records of; dead letters left out."""
        table = open_table(self._environment, Lake(self._environment.lake).raw(topic.name))
        if table is None:
            return set()
        return {str(part["event_date"]) for part in table.partitions() if part.get("event_date")}

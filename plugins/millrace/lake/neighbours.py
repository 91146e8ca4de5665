"""When a lost record can have been sent: between its neighbours, by the Kafka timestamps of those that are left."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from jobs.lake import Lake
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.tables import open_table, query

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["Neighbours"]

_TIMEOUT_S = 30
# How many offsets to look at first, and how many times as many each time that there is no record among them.
_REACH, _FARTHER = 10_000, 100
_LAST = 2**63 - 1


@dataclass(frozen=True)
class Neighbours:
    """Of lost offsets of a topic: in its archive, and above it in Kafka."""

    environment: Environment
    topic: Topic

    def touched(self, partition: int, start: int, end: int, now: datetime) -> tuple[datetime | None, datetime]:
        """Intervals that may lack a record of `[start, end)` end at or after the first and begin at or before the
        second time. None: since ever, for there is no record before.

        A topic promises that a record arrives at most its `allowed_lateness` after its timestamp and after the end of
        its interval, and that no event is more than `max_ahead` after its timestamp. A partition's records arrive in
        the order of their offsets. Nothing of the range arrived after `now`.
        """
        before = self._archived_before(partition, start)
        after = self._archived_from(partition, end) or self._in_kafka(partition, end)
        until = min(now, after + self.topic.allowed_lateness) if after else now
        since = min(before, until) - self.topic.allowed_lateness if before else None
        return since, until + self.topic.max_ahead

    def _archived_before(self, partition: int, offset: int) -> datetime | None:
        """The timestamp of the nearest archived record below the offset."""
        high, reach = offset, _REACH
        while high > 0:
            low = max(0, high - reach)
            if found := self._archived(partition, low, high, "DESC"):
                return found
            high, reach = low, reach * _FARTHER
        return None

    def _archived_from(self, partition: int, offset: int) -> datetime | None:
        """The timestamp of the first archived record from the offset on."""
        low, reach = offset, _REACH
        while low < _LAST:
            high = min(_LAST, low + reach)
            if found := self._archived(partition, low, high, "ASC"):
                return found
            low, reach = high, reach * _FARTHER
        return None

    def _archived(self, partition: int, low: int, high: int, order: str) -> datetime | None:
        """Of the offsets `[low, high)`, the timestamp of the first archived record, or with DESC the last.

        The statistics of the archive's files keep those unopened that have other offsets, whatever day they are of: a
        record's event may be of any day, or it has none.
        """
        if self._raw is None:
            return None
        within = f'"partition" = {partition} AND "offset" >= {low} AND "offset" < {high} AND "timestamp" IS NOT NULL'
        sql = f'SELECT "timestamp" AS at FROM rows WHERE {within} ORDER BY "offset" {order} LIMIT 1'
        found = query(self._raw, sql)
        return found[0]["at"].astimezone(UTC) if found else None

    def _in_kafka(self, partition: int, offset: int) -> datetime | None:
        """The timestamp of the first record from the offset on; None where Kafka has none, or does not say."""
        from confluent_kafka import TIMESTAMP_NOT_AVAILABLE, Consumer, TopicPartition

        consumer = Consumer(
            {
                **self.environment.kafka_options,
                "bootstrap.servers": self.environment.kafka_bootstrap,
                "group.id": "millrace-offsets",
                "enable.auto.commit": False,
                "enable.partition.eof": True,
            }
        )
        try:
            consumer.assign([TopicPartition(self.topic.name, partition, offset)])
            message = consumer.poll(_TIMEOUT_S)
        finally:
            consumer.close()
        if message is None or message.error():
            return None
        kind, millis = message.timestamp()
        return (
            None if kind == TIMESTAMP_NOT_AVAILABLE else datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=millis)
        )

    @cached_property
    def _raw(self) -> DeltaTable | None:
        return open_table(self.environment, Lake(self.environment.lake).raw(self.topic.name))

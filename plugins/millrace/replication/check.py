"""Whether every record of the source is in the replica: both are read, and compared record by record."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.replication.job import mirrored_topics, replica_of
from millrace.replication.pairing import Pairing, PartitionReport
from millrace.replication.partition_reader import SILENCE, Cluster, PartitionReader, opened

if TYPE_CHECKING:
    from confluent_kafka import Consumer

__all__ = ["check_replica", "verdict"]

_POLL_S = 0.2
_MOST_WAITING = 200_000


def check_replica(
    environment: Environment, patience: timedelta = timedelta(seconds=10), silence: timedelta = SILENCE
) -> Iterator[PartitionReport]:
    """A report for each partition of each topic, as soon as it is known.

    It is about the records that the source had when the partition's turn came: those that the replica has not got yet
    are waited for, for `patience` after both were read to their ends. Records are compared by key, value, headers and
    timestamp. Memory is needed for what has no partner, not for the topic. Raises MillraceError where a cluster does
    not answer, or sends nothing for `silence` before the end, for a topic that the source does not have, and for one
    whose timestamps the replica does not keep.
    """
    replica = replica_of(environment)
    source = Cluster("the source", environment.kafka_bootstrap, environment.kafka_options)
    target = Cluster("the replica", replica.bootstrap, replica.options)
    remedy = "correct replica.topics" if replica.topics else "create it, or correct jobs/topics.py, which declares it"
    for topic in mirrored_topics(environment):
        partitions, there = source.partitions(topic), target.partitions(topic)
        if not partitions:
            raise MillraceError(f"topic {topic!r}: {source.bootstrap} has none of that name; {remedy}")
        for partition in partitions:
            copy = target if partition in there else None
            yield _Comparison(topic, partition, patience, silence).of(source, copy)


def verdict(reports: Iterable[PartitionReport]) -> str | None:
    """What is not in the replica, and what to do; None when all is."""
    lacking = [report for report in reports if not report.is_complete]
    if not lacking:
        return None
    lag, missing = sum(report.lag for report in lacking), sum(report.missing for report in lacking)
    places = ", ".join(f"{report.topic}[{report.partition}]" for report in lacking)
    remedy = "is `millrace replicate` running? Its log says what holds it up"
    if missing:
        first = next(report for report in lacking if report.missing)
        remedy = (
            f"the first that is missing is {first.topic}[{first.partition}] offset {first.first_missing}; later records"
            " are there, so it will not come by itself: was it deleted there, by retention for example?"
        )
    return f"the replica lacks {lag + missing:,} records of {places} ({lag:,} behind, {missing:,} missing); {remedy}"


@dataclass(frozen=True)
class _Comparison:
    """Of one partition."""

    topic: str
    partition: int
    patience: timedelta
    silence: timedelta
    pairing: Pairing = field(default_factory=Pairing)

    def of(self, source: Cluster, target: Cluster | None) -> PartitionReport:
        """`target` None: the partition is not there yet."""
        with opened(source) as at_source:
            original = self._reader(source, at_source)
            end = original.end()
            if target is None:
                return self._behind(original, end)
            with opened(target) as in_replica:
                self._read_both(original, self._reader(target, in_replica), end)
            committed = min(end, original.position)
            known = self._known(source, at_source, end)
            return self.pairing.report(self.topic, self.partition, committed, known)

    def _reader(self, cluster: Cluster, consumer: Consumer, start: int | None = None) -> PartitionReader:
        return PartitionReader(cluster, consumer, self.topic, self.partition, self.silence, start)

    def _behind(self, original: PartitionReader, end: int) -> PartitionReport:
        """Of a partition that is not in the replica: what has no partner for sure is counted, and not remembered."""
        records = 0
        while not _is_read(original, end):
            records += sum(offset < end for offset, _ in original.read(_POLL_S))
        return PartitionReport(self.topic, self.partition, min(end, original.position), records, records, 0, None, 0, 0)

    def _read_both(self, original: PartitionReader, copy: PartitionReader, end: int) -> None:
        """By turns, so that little waits for its partner. The copy is read to the end that it has once the source is
        read; what lacks then may come within `patience`. Ends are asked for: a topic that gets records never stands
        still.
        """
        goal = deadline = None
        while True:
            if self.pairing.waiting < _MOST_WAITING or copy.is_at_end:
                self._read_some(original, end)
            for _, record in copy.read(_POLL_S):
                self.pairing.in_replica(record)
            self._require_times_of_source(copy)
            if not _is_read(original, end):
                continue
            if goal is None:
                goal, deadline = copy.end(), time.monotonic() + self.patience.total_seconds()
            elif _is_read(copy, goal):
                if self.pairing.is_complete or deadline is None or time.monotonic() >= deadline:
                    return
                goal = copy.end()

    def _require_times_of_source(self, copy: PartitionReader) -> None:
        """MirrorMaker sends the source's timestamps, whoever made them; a topic may be set to take its own."""
        if copy.has_times_of_arrival:
            raise MillraceError(
                f"topic {self.topic!r}: the replica's records have the times of their arrival there"
                " (message.timestamp.type=LogAppendTime), which cannot be compared with the source's; set CreateTime"
                " for this topic of the replica: what arrives from then on keeps the source's"
            )

    def _read_some(self, original: PartitionReader, end: int) -> None:
        if _is_read(original, end):
            return
        for offset, record in original.read(_POLL_S):
            if offset < end:
                self.pairing.at_source(offset, record)

    def _known(self, source: Cluster, at_source: Consumer, end: int) -> set[bytes]:
        """What of the surplus the source has below `end`; what it got since is no surplus, and taken off. Nothing is
        read but for a surplus."""
        if self.pairing.surplus:
            later = self._reader(source, at_source, end)
            now = later.end()
            while not _is_read(later, now):
                for _, record in later.read(_POLL_S):
                    self.pairing.later_at_source(record)
        found: set[bytes] = set()
        if self.pairing.surplus:
            earlier, surplus = self._reader(source, at_source), self.pairing.surplus
            while not _is_read(earlier, end):
                found.update(record for offset, record in earlier.read(_POLL_S) if offset < end and record in surplus)
        return found


def _is_read(reader: PartitionReader, end: int) -> bool:
    """Whether all that is committed below `end` was read: an open transaction keeps back what lies behind it."""
    return reader.position >= end or reader.is_at_end

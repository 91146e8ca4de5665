"""Which records of a partition are in its replica: both are read in their order, and what is equal is paired."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from hashlib import blake2b

__all__ = ["Pairing", "PartitionReport", "RecordFacts", "digest"]

RecordFacts = tuple[bytes | None, bytes | None, Iterable[tuple[str, bytes | None]], int]
"""Key, value, headers and timestamp (ms) of a record."""


@dataclass(frozen=True)
class PartitionReport:
    """How much of a partition's records below `source_end` is in the replica.

    `records` are there at the source, each of which is `replicated`, behind (`lag`: no later one is there either) or
    `missing` (a later one is there; `first_missing` is an offset of the source). `duplicates` are further copies of a
    record, `strangers` are of no record that the source has (any more).
    """

    topic: str
    partition: int
    source_end: int
    records: int
    lag: int
    missing: int
    first_missing: int | None
    duplicates: int
    strangers: int

    @property
    def replicated(self) -> int:
        return self.records - self.lag - self.missing

    @property
    def is_complete(self) -> bool:
        """Whether every record of the source is in the replica."""
        return self.replicated == self.records

    def line(self) -> str:
        """For a log."""
        return (
            f"{self.topic}[{self.partition}]: the source ends at {self.source_end:,}; of its {self.records:,} records"
            f" {self.replicated:,} are in the replica, {self.lag:,} behind, {self.missing:,} missing; there are"
            f" {self.duplicates:,} duplicates, and {self.strangers:,} records that are not of the source"
        )


class Pairing:
    """The records of one partition, as they are read on either side; only what has no partner yet is remembered."""

    def __init__(self) -> None:
        self.records = 0
        self.waiting = 0
        """How many records of the source have not been seen in the replica."""
        self._last = -1
        # Equal records are rare: a queue for each would take ten times the memory.
        self._waiting: dict[bytes, int | deque[int]] = {}
        self._surplus: Counter[bytes] = Counter()

    def at_source(self, offset: int, record: bytes) -> None:
        """The source has this record, by its digest."""
        self.records += 1
        if record not in self._surplus:
            self._wait(offset, record)
            return
        self._last = max(self._last, offset)
        self._take_off(record)

    def in_replica(self, record: bytes) -> None:
        """The replica has this record, by its digest."""
        waiting = self._waiting.get(record)
        if waiting is None:
            self._surplus[record] += 1
            return
        self.waiting -= 1
        offset = waiting if isinstance(waiting, int) else waiting.popleft()
        self._last = max(self._last, offset)
        if isinstance(waiting, int) or not waiting:
            del self._waiting[record]

    def later_at_source(self, record: bytes) -> None:
        """The source got this record too late to be looked at: where the replica has it already, that is no surplus."""
        if record in self._surplus:
            self._take_off(record)

    def _wait(self, offset: int, record: bytes) -> None:
        self.waiting += 1
        others = self._waiting.setdefault(record, offset)
        if isinstance(others, deque):
            others.append(offset)
        elif others != offset:
            self._waiting[record] = deque((others, offset))

    def _take_off(self, record: bytes) -> None:
        self._surplus[record] -= 1
        if not self._surplus[record]:
            del self._surplus[record]

    @property
    def is_complete(self) -> bool:
        """Whether all records of the source have been seen in the replica."""
        return not self._waiting

    @property
    def surplus(self) -> Counter[bytes]:
        """What the replica has more often than the source, or alone."""
        return self._surplus

    def report(self, topic: str, partition: int, source_end: int, known: Iterable[bytes]) -> PartitionReport:
        """What was found; `known` are those of the surplus that the source has as well."""
        each = self._waiting.values()
        offsets = [offset for waiting in each for offset in ([waiting] if isinstance(waiting, int) else waiting)]
        missing = [offset for offset in offsets if offset < self._last]
        duplicates = sum(self._surplus[record] for record in set(known))
        return PartitionReport(
            topic=topic,
            partition=partition,
            source_end=source_end,
            records=self.records,
            lag=len(offsets) - len(missing),
            missing=len(missing),
            first_missing=min(missing, default=None),
            duplicates=duplicates,
            strangers=self._surplus.total() - duplicates,
        )


def digest(record: RecordFacts) -> bytes:
    """16 bytes that differ for different records; null is not the same as empty."""
    key, value, headers, timestamp = record
    found = blake2b(timestamp.to_bytes(9, "big", signed=True), digest_size=16)
    parts = [key, value]
    for name, content in headers:
        parts += [name.encode(), content]
    for part in parts:
        found.update(b"-" if part is None else b"%d:" % len(part))
        found.update(part or b"")
    return found.digest()

"""What a ledger holds."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from millrace.lake.ledger.ranges import Ranges, union

__all__ = ["Entry", "Kind", "Ledger", "Source"]


class Kind:
    """What a range of offsets is. Text, not an enumeration: a later release may write kinds that this one only shows.

    A gap of `HARMLESS` kind lost nothing, one of `LOSSES` lost something. `FOLDED`: archived ranges and gaps that lost
    nothing, together; the detail has the offsets of each kind, and of how many `ranges`. `MISSING`: Kafka still has the
    record, the archive should and does not; no query reads it again. `LACKING`: what a person may accept. `ACCEPTED`: a
    person has accepted the loss; the detail says who, when and why.
    """

    ARCHIVED = "archived"
    FOLDED = "archived, with gaps"
    BEFORE = "before the archive"
    MARKERS = "transaction markers"
    ABORTED = "aborted transaction"
    COMPACTION = "compaction"
    MISSING = "missing"
    RETENTION = "retention loss"
    TRUNCATION = "truncation"
    RECREATED = "topic recreated"
    UNKNOWN = "unknown"
    DOUBLED = "doubled"
    ACCEPTED = "accepted loss"

    HARMLESS = frozenset({BEFORE, MARKERS, ABORTED, COMPACTION})
    LOSSES = frozenset({RETENTION, TRUNCATION, RECREATED})
    LACKING = LOSSES | {MISSING}


@dataclass(frozen=True)
class Entry:
    """One range `[start, end)` of a partition.

    `records`: how many records the range stands for; None where nobody can know. An empty range with kind
    `topic recreated` or `truncation` marks that Kafka counts anew from `start`, over offsets that are archived.
    """

    kind: str
    partition: int
    start: int
    end: int
    records: int | None
    found_at: datetime
    raw_version: int
    detail: dict[str, Any] = field(default_factory=dict)

    @property
    def is_harmless(self) -> bool:
        return self.kind in (Kind.ARCHIVED, Kind.FOLDED) or self.kind in Kind.HARMLESS


@dataclass(frozen=True)
class Source:
    """Up to where the ledger has read the raw table, and what it must remember to go on from there.

    `commit` is the digest of that version's commit, `batch` the archive's last micro-batch in it. `begin`: per
    partition, the first offset that Kafka had for the archive. `coverage`: the offset below which gaps are judged, and
    beyond it what Kafka has deleted.
    """

    raw_version: int
    commit: str | None
    batch: int | None
    topic_id: str | None
    begin: dict[int, int]
    coverage: dict[int, int]


@dataclass(frozen=True)
class Ledger:
    """A topic's ledger, sorted by partition and offset."""

    topic: str
    source: Source
    entries: list[Entry]

    @property
    def is_complete(self) -> bool:
        """No gap that lost something, or may have; no record twice."""
        return all(entry.is_harmless for entry in self.entries)

    @property
    def is_accounted_for(self) -> bool:
        """The same but for losses that somebody has accepted."""
        return all(entry.is_harmless or entry.kind == Kind.ACCEPTED for entry in self.entries)

    @property
    def partitions(self) -> list[int]:
        return sorted({entry.partition for entry in self.entries} | set(self.source.coverage))

    def of(self, partition: int, kinds: Collection[str] | None = None) -> Iterator[Entry]:
        """The partition's entries, of these kinds or all."""
        return (e for e in self.entries if e.partition == partition and (kinds is None or e.kind in kinds))

    def ranges(self, partition: int, kind: str) -> Ranges:
        return [(entry.start, entry.end) for entry in self.of(partition, {kind})]

    def covered(self, partition: int) -> Ranges:
        """What is archived, and the gaps that are folded into it."""
        return union(self.ranges(partition, Kind.ARCHIVED), self.ranges(partition, Kind.FOLDED))

    def records(self, partition: int) -> int:
        """Archived records of the partition, each counted once."""
        return sum(entry.records or 0 for entry in self.of(partition, {Kind.ARCHIVED, Kind.FOLDED}))

    def gaps(self, partition: int) -> list[Entry]:
        """All that is neither archived nor doubled, but for what is folded."""
        archived = (Kind.ARCHIVED, Kind.FOLDED, Kind.DOUBLED)
        return [entry for entry in self.of(partition) if entry.kind not in archived]

"""The next state of a ledger: pure but for the questions to Kafka, which concern new gaps alone."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import cached_property
from typing import Any

from jobs.accepted_losses import AcceptedLoss, LostRange
from millrace.lake.ledger.counting import Counted
from millrace.lake.ledger.entries import Entry, Kind, Ledger, Source
from millrace.lake.ledger.folding import fold
from millrace.lake.ledger.gaps import Finding, Witness, classify, unanswered
from millrace.lake.ledger.ranges import Ranges, intersect, subtract, union

__all__ = ["Account", "Asked", "begins"]

# Told anew at every update; every other kind was established once and stays.
_PASSING = frozenset({Kind.ARCHIVED, Kind.FOLDED, Kind.DOUBLED, Kind.BEFORE, Kind.UNKNOWN, Kind.ACCEPTED})


@dataclass(frozen=True)
class Asked:
    """Kafka as a witness; None, with the reason `why`, where it could not be asked."""

    witness: Witness | None
    why: str = ""

    @property
    def topic_id(self) -> str | None:
        return self.witness.facts.topic_id if self.witness else None

    @property
    def partitions(self) -> list[int]:
        return sorted(self.witness.facts.held) if self.witness else []

    def first(self, partition: int) -> int | None:
        """The first offset that Kafka holds."""
        return self.witness.facts.held.get(partition, (0, 0))[0] if self.witness else None

    def end(self, partition: int) -> int | None:
        """The offset after the last one that Kafka holds."""
        return self.witness.facts.held.get(partition, (0, 0))[1] if self.witness else None


def begins(known: dict[int, int], noted: dict[int, int] | None, counted: Counted, asked: Asked) -> dict[int, int]:
    """Per partition that the archive reads, the first offset that Kafka had for it; what is `known` stays.

    `noted` is what the archive's checkpoint says: a partition that it does not know was added later, and is read from
    0. Without it, of the partitions that are archived it is what Kafka holds first at this first look.
    """
    if noted is not None:
        return dict.fromkeys([*counted.archived, *asked.partitions], 0) | noted | known
    found: dict[int, int] = {}
    for partition, ranges in counted.archived.items():
        first = asked.first(partition)
        if first is not None and ranges:
            found[partition] = min(first, ranges[0][0])
    return found | known


@dataclass(frozen=True)
class Account:
    """What the next ledger follows from: the `old` one, what is `counted` in the archive, and Kafka's answers.

    `accepted` is told anew at every update, from what people have acknowledged: it outlives the ledger. `known_id` is
    the topic's as the archive has read it, as far as anybody has noted it.
    A topic under another id than the remembered one is another topic: what it holds proves nothing about old gaps.
    """

    old: Ledger | None
    counted: Counted
    source: Source
    asked: Asked
    now: datetime
    accepted: Sequence[AcceptedLoss] = ()
    known_id: str | None = None

    def entries(self) -> list[Entry]:
        """Those of the next ledger. Established gaps stay as they are; Kafka is asked about the others."""
        lost = {each.partition for loss in self.accepted for each in loss.lost}
        partitions = sorted({*self.counted.archived, *self.source.coverage, *self.source.begin, *lost})
        return [entry for partition in partitions for entry in fold(self._entries(partition))]

    def doubtful(self) -> set[int]:
        """Partitions that end in Kafka below what is archived, as no earlier ledger has told: it may be so for ever, or
        for a moment, while a broker becomes their leader. What follows from it is established, so ask again first.
        """
        return {partition for partition in self.source.coverage if self._is_doubtful(partition)}

    def _is_doubtful(self, partition: int) -> bool:
        end, reached = self.asked.end(partition), self.source.coverage[partition]
        if end is None or end >= reached or self._is_other_topic:
            return False
        established = ((entry.start, entry.end) for entry in self._established(partition))
        told = union(self._settled(partition), [(0, self.source.begin.get(partition, 0))], established)
        return not self._is_marked(partition) or bool(subtract([(end, reached)], told))

    def _entries(self, partition: int) -> list[Entry]:
        established = [*self._folded(partition), *self._established(partition), *self._broken(partition)]
        certain = list(self._certain(partition))
        told = union(((e.start, e.end) for e in established), (finding.range for finding in certain))
        gaps = subtract(union([(0, self._judged_to(partition))]), told)
        findings = [*certain, *self._explained(partition, gaps)]
        found = [*established, *(self._entry(partition, finding) for finding in findings)]
        return sorted(found, key=lambda entry: (entry.start, entry.end))

    def _judged_to(self, partition: int) -> int:
        """The offset below which gaps are judged: the archive's coverage, and beyond it what Kafka has deleted."""
        reached, first = self.source.coverage.get(partition, 0), self.asked.first(partition)
        return reached if first is None or self._is_other_topic else max(reached, first)

    def _certain(self, partition: int) -> Iterator[Finding]:
        """What needs no witness."""
        archived = self._archived(partition)
        before = subtract(union([(0, self.source.begin.get(partition, 0))]), self._settled(partition))
        for start, end in subtract(archived, [(entry.start, entry.end) for entry in self._folded(partition)]):
            yield Finding(Kind.ARCHIVED, (start, end), end - start, {})
        for start, end in self.counted.doubled.get(partition, []):
            yield Finding(Kind.DOUBLED, (start, end), end - start, {})
        for start, end in before:
            yield Finding(Kind.BEFORE, (start, end), None, {})
        yield from self._accepted(partition)

    def _accepted(self, partition: int) -> Iterator[Finding]:
        """What people have accepted as lost; where they did so twice, the first time counts."""
        told = self._archived(partition)
        for loss in self.accepted:
            for lost in (lost for lost in loss.lost if lost.partition == partition):
                for gap in subtract(union([(lost.start, lost.end)]), told):
                    yield Finding(Kind.ACCEPTED, gap, None, _acknowledgement(loss, lost))
                told = union(told, [(lost.start, lost.end)])

    def _settled(self, partition: int) -> Ranges:
        """What is archived or accepted as lost."""
        lost = (lost for loss in self.accepted for lost in loss.lost if lost.partition == partition)
        return union(self._archived(partition), ((each.start, each.end) for each in lost))

    def _folded(self, partition: int) -> list[Entry]:
        """Those of which nothing was taken out of the archive since (see `with_folded`)."""
        folded = [entry for entry in self._old_of(partition) if entry.kind == Kind.FOLDED]
        archived = self._archived(partition)
        return [entry for entry in folded if not subtract([(entry.start, entry.end)], archived)]

    def _established(self, partition: int) -> list[Entry]:
        """The gaps that are explained, less what has been archived or accepted as lost since."""
        old = [entry for entry in self._old_of(partition) if entry.kind not in _PASSING]
        settled = self._settled(partition)
        if not intersect([(entry.start, entry.end) for entry in old if entry.start < entry.end], settled):
            return old
        return [left for entry in old for left in _without(entry, settled)]

    def _broken(self, partition: int) -> Iterator[Entry]:
        """An empty range where Kafka counts anew, over offsets that are archived already."""
        end, reached = self.asked.end(partition), self.source.coverage.get(partition, 0)
        if end is None or not (self._is_other_topic or end < reached):
            return
        if self._is_marked(partition):
            return
        kind, at = (Kind.TRUNCATION, end) if self._is_same_topic else (Kind.RECREATED, 0)
        detail = {"topic_id": self.asked.topic_id, "was": self.known_id, "archived_to": reached, "kafka_end": end}
        yield Entry(kind, partition, at, at, None, self.now, self.source.raw_version, detail)

    def _is_marked(self, partition: int) -> bool:
        """Whether an earlier ledger has told that the topic as it is now counts anew."""
        marks = (entry for entry in self._old_of(partition) if entry.start == entry.end)
        return any(entry.detail.get("topic_id") == self.asked.topic_id for entry in marks)

    def _explained(self, partition: int, gaps: Ranges) -> list[Finding]:
        if not gaps:
            return []
        if self.asked.witness is None:
            return unanswered(gaps, self.asked.why)
        end = self.asked.end(partition) or 0
        if self._is_other_topic or (end < self.source.coverage.get(partition, 0) and not self._is_same_topic):
            detail: dict[str, Any] = {"topic_id": self.asked.topic_id}
            return [Finding(Kind.RECREATED, gap, None, detail) for gap in gaps]
        return classify(self.asked.witness, partition, gaps)

    def _archived(self, partition: int) -> Ranges:
        return self.counted.archived.get(partition, [])

    def _old_of(self, partition: int) -> Iterator[Entry]:
        return self.old.of(partition) if self.old else iter(())

    @property
    def _ids(self) -> tuple[str | None, str | None]:
        return (self.known_id, self.asked.topic_id)

    @property
    def _is_other_topic(self) -> bool:
        """Kafka says so: the ids differ."""
        return None not in self._ids and self._ids[0] != self._ids[1]

    @property
    def _is_same_topic(self) -> bool:
        """Kafka says so: the ids are equal. Neither holds where an id is not known."""
        return None not in self._ids and self._ids[0] == self._ids[1]

    def _entry(self, partition: int, finding: Finding) -> Entry:
        """The old entry where it says the same: `found_at` is when it was found first."""
        start, end = finding.range
        new = Entry(
            finding.kind, partition, start, end, finding.records, self.now, self.source.raw_version, finding.detail
        )
        old = self._by_range.get((finding.kind, partition, start, end))
        return old if old is not None and old.detail == finding.detail else new

    @cached_property
    def _by_range(self) -> dict[tuple[str, int, int, int], Entry]:
        return {(e.kind, e.partition, e.start, e.end): e for e in (self.old.entries if self.old else ())}


def _without(entry: Entry, settled: Ranges) -> Iterator[Entry]:
    if entry.start == entry.end:
        yield entry
    for start, end in subtract(union([(entry.start, entry.end)]), settled):
        yield replace(entry, start=start, end=end, records=entry.records and end - start)


def _acknowledgement(loss: AcceptedLoss, lost: LostRange) -> dict[str, Any]:
    return {
        "who": loss.who,
        "when": loss.when.isoformat(),
        "reason": loss.reason,
        "was": lost.kind,
        "kafka": list(loss.kafka.get(lost.partition, ())),
        "topic_id": loss.topic_id,
        "id": loss.id,
    }

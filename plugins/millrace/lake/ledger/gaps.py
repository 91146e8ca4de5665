"""What a gap between archived offsets is, by Kafka's evidence: see docs/decisions/0008."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Protocol

from millrace.lake.ledger.entries import Kind
from millrace.lake.ledger.kafka_topic import NoAnswerError, TopicFacts
from millrace.lake.ledger.ranges import Range, Ranges, intersect, subtract

__all__ = ["Finding", "Witness", "classify", "unanswered"]


@dataclass(frozen=True)
class Finding:
    """What one range of a gap is; see `entries.Entry` for the fields."""

    kind: str
    range: Range
    records: int | None
    detail: dict[str, Any]


class Witness(Protocol):
    """Who is asked: Kafka (`kafka_topic.KafkaTopic`)."""

    @property
    def facts(self) -> TopicFacts: ...

    def delivered(self, partition: int, ranges: Ranges, *, aborted: bool) -> Ranges: ...


def classify(witness: Witness, partition: int, gaps: Ranges) -> list[Finding]:
    """What every offset of the gaps is. They lie below the archive's coverage, so nothing of them is yet to come, or
    below Kafka's first offset, so nothing of them will come any more."""
    low, high = witness.facts.held.get(partition, (0, 0))
    gone = intersect(gaps, [(0, low)])
    cut = intersect(gaps, [(max(low, high), max((end for _, end in gaps), default=0))])
    held = subtract(subtract(gaps, gone), cut)
    return [
        *_gone(witness.facts, gone, low),
        *_all(Kind.TRUNCATION, cut, None, {"kafka_end": high}),
        *_held(witness, partition, held),
    ]


def unanswered(gaps: Ranges, why: str) -> list[Finding]:
    """The gaps when Kafka cannot be asked: asked again at the next update."""
    return list(_all(Kind.UNKNOWN, gaps, None, {"why": why}))


def _gone(facts: TopicFacts, gone: Ranges, low: int) -> Iterator[Finding]:
    """Below Kafka's first offset. Offsets do not tell who deleted: it was retention wherever that may delete."""
    kind = Kind.RETENTION if facts.forgets else Kind.TRUNCATION
    return _all(kind, gone, None, {"kafka_first": low, **facts.limits})


def _held(witness: Witness, partition: int, held: Ranges) -> list[Finding]:
    """Where Kafka has its log: what it delivers is missing in the archive, the rest was never a record to keep."""
    if not held:
        return []
    try:
        missing = witness.delivered(partition, held, aborted=False)
        rest = subtract(held, missing)
        aborted = witness.delivered(partition, rest, aborted=True) if rest else []
    except NoAnswerError as error:
        return unanswered(held, str(error))
    return [
        *_all(Kind.MISSING, missing, 1, {}),
        *_all(Kind.ABORTED, aborted, 1, {}),
        *_silent(witness.facts, subtract(rest, aborted)),
    ]


def _silent(facts: TopicFacts, offsets: Ranges) -> Iterator[Finding]:
    """Delivered to nobody: the end of a transaction; in a compacted topic more likely a record with a newer one."""
    if facts.is_compacted:
        detail = {"note": "may include transaction markers", "cleanup.policy": facts.limits["cleanup.policy"]}
        return _all(Kind.COMPACTION, offsets, None, detail)
    return _all(Kind.MARKERS, offsets, 0, {})


def _all(kind: str, ranges: Ranges, per_offset: int | None, detail: dict[str, Any]) -> Iterator[Finding]:
    for start, end in ranges:
        yield Finding(kind, (start, end), None if per_offset is None else per_offset * (end - start), detail)

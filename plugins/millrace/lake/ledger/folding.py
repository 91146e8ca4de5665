"""Keeping a ledger small: of a topic with transactions, every few records are followed by a gap that lost nothing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace

from millrace.lake.ledger.counting import Counted
from millrace.lake.ledger.entries import Entry, Kind
from millrace.lake.ledger.ranges import intersect, size, union

__all__ = ["KEPT", "fold", "with_folded"]

KEPT = 1_000
"""So many of the newest entries of a partition are kept apart; twice as many before older ones are folded."""

_FOLDABLE = frozenset({Kind.ARCHIVED, Kind.FOLDED, Kind.MARKERS, Kind.ABORTED, Kind.COMPACTION})


def fold(entries: Sequence[Entry], kept: int = KEPT) -> list[Entry]:
    """A partition's entries, sorted: where there are too many, the older ones that touch and lost nothing are one each,
    with the offsets of each kind in its detail."""
    if sum(entry.kind in _FOLDABLE for entry in entries) <= 2 * kept:
        return list(entries)
    older, newest = entries[:-kept], entries[-kept:]
    return [*map(_folded, _stretches(older)), *newest]


def with_folded(counted: Counted, known: Iterable[Entry]) -> None:
    """Takes the gaps of folded entries as counted, as an update does that counts only what is new.

    After the archive was counted as a whole: but for an entry that has not as many records any more. What that was
    folded of is not known, so what it lacks now is asked for as any gap is.
    """
    for entry in (entry for entry in known if entry.kind == Kind.FOLDED):
        span = [(entry.start, entry.end)]
        archived = counted.archived.get(entry.partition, [])
        if size(intersect(archived, span)) == entry.records:
            counted.archived[entry.partition] = union(archived, span)


def _stretches(entries: Sequence[Entry]) -> Iterator[list[Entry]]:
    """Entries that touch and are foldable together, all others alone."""
    stretch: list[Entry] = []
    for entry in entries:
        if stretch and not (stretch[-1].end == entry.start and {stretch[-1].kind, entry.kind} <= _FOLDABLE):
            yield stretch
            stretch = []
        stretch.append(entry)
    if stretch:
        yield stretch


def _folded(stretch: list[Entry]) -> Entry:
    first, last = stretch[0], stretch[-1]
    if first is last:
        return first
    offsets: Counter[str] = Counter()
    for entry in stretch:
        alone = {entry.kind: entry.end - entry.start, "ranges": 1}
        offsets.update(entry.detail if entry.kind == Kind.FOLDED else alone)
    records, detail = offsets[Kind.ARCHIVED], dict(sorted(offsets.items()))
    return replace(first, kind=Kind.FOLDED, end=last.end, records=records, raw_version=last.raw_version, detail=detail)

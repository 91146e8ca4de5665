"""Offsets that a query has yet to read and that Kafka no longer has. No Spark import here: both sides ask the same."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Dict, Iterable, List, Mapping, Optional, Tuple

from jobs.checkpoint import Checkpoint, of_topic
from jobs.errors import MillraceError

__all__ = [
    "NEW_TOPIC",
    "SETTLED_WITHIN",
    "HeldOffsets",
    "LostOffsetsError",
    "cut_off",
    "lost_ranges",
    "next_offsets",
    "told_ranges",
    "unaccepted",
]

# A broker that has just become a partition's leader may tell an old end for a moment.
SETTLED_WITHIN = timedelta(seconds=20)
NEW_TOPIC = (
    "let the producers write to a topic of a new name, declare that in jobs/topics.py beside this one, name it as the"
    " topic of the pipelines that read this one, and bring each into service with its DAG <pipeline>__upgrade"
)
"""What to do about a topic whose offsets name other records than before."""

OffsetRanges = Mapping[int, Tuple[int, int]]


class LostOffsetsError(MillraceError):
    """A query cannot go on without skipping records: a person has to decide."""


@dataclass(frozen=True)
class HeldOffsets:
    """What Kafka holds of a topic: per partition the first offset and the end. `topic_id` is None on old brokers."""

    topic_id: Optional[str]
    partitions: Dict[int, Tuple[int, int]]

    def is_other(self, topic_id: Optional[str]) -> bool:
        """Whether this is another topic than the one of that id. False where either is not known."""
        return None not in (self.topic_id, topic_id) and _plain(self.topic_id) != _plain(topic_id)


def next_offsets(checkpoint: Checkpoint, topic: str) -> Optional[Dict[int, int]]:
    """Per partition, the offset that the query reads next; None before its first start, and while it reads the raw
    archive (see `jobs.bootstrap`).

    A micro-batch that is planned but not noted as done is read again, so it does not count.
    """
    done = checkpoint.committed()
    if not done:
        first = checkpoint.first_offsets()
        return None if first is None else of_topic(first, topic)
    planned = checkpoint.planned(done[-1])
    return None if planned is None else of_topic(planned.end_offsets, topic)


def lost_ranges(following: Mapping[int, int], held: HeldOffsets) -> Dict[int, Tuple[int, int]]:
    """Per partition the range `[start, end)` below Kafka's first offset that a query at `following` has not read.

    A partition that the query does not know is one that was added: it is read from 0.
    """
    starts = {partition: following.get(partition, 0) for partition in held.partitions}
    return {p: (starts[p], first) for p, (first, _) in sorted(held.partitions.items()) if starts[p] < first}


def cut_off(following: Mapping[int, int], held: HeldOffsets) -> Dict[int, Tuple[int, int]]:
    """Per partition the range `[start, end)` that a query at `following` has read, and that Kafka has not reached."""
    ends = {partition: held.partitions.get(partition, (0, 0))[1] for partition in following}
    return {p: (ends[p], offset) for p, offset in sorted(following.items()) if ends[p] < offset}


def unaccepted(lost: OffsetRanges, accepted: Iterable[OffsetRanges]) -> Dict[int, Tuple[int, int]]:
    """What of `lost` nobody has accepted: per partition, from the first such offset on."""
    found: Dict[int, Tuple[int, int]] = {}
    listed: List[OffsetRanges] = list(accepted)
    for partition, (start, end) in lost.items():
        for low, high in sorted(ranges[partition] for ranges in listed if partition in ranges):
            if low <= start < high:
                start = high
        if start < end:
            found[partition] = (start, end)
    return found


def told_ranges(ranges: OffsetRanges) -> str:
    """In words, the last offset included."""
    return "; ".join(
        f"partition {partition}: offsets {start:,} to {end - 1:,} ({end - start:,})"
        for partition, (start, end) in sorted(ranges.items())
    )


def _plain(topic_id: Optional[str]) -> str:
    """Java and librdkafka write the same id with different alphabets of base 64."""
    return (topic_id or "").replace("+", "-").replace("/", "_").rstrip("=")

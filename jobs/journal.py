"""Reading progress journals: which micro-batch read which offsets, and under which watermark. No Spark import here."""

from __future__ import annotations

import json
from bisect import bisect_right
from dataclasses import dataclass, field
from datetime import datetime
from functools import cached_property
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from jobs.accepted_losses import accepted_losses, ranges_of_stream
from jobs.checkpoint import Checkpoint, of_topic
from jobs.lake import Lake, speed_query, speed_stream
from jobs.pipeline import Pipeline
from jobs.small_files import SmallFiles

__all__ = ["Journal", "Read", "Reads", "offset_ranges", "speed_reads", "whole_lines"]

_FIRST_LINE_BYTES = 64 * 1024

OffsetRanges = Mapping[int, Tuple[int, int]]


@dataclass(frozen=True)
class Read:
    """Offsets [first, after) of a partition, as one micro-batch read them. An event whose window had ended by
    `late_watermark` was late for it; none was where that is None. When it began, sessions that had ended by
    `closed_watermark`, that of the micro-batch before, were closed. `from_archive`: from the raw archive, not from
    Kafka (see `jobs.bootstrap`), so without what the archive lacks."""

    batch_id: int
    timestamp: str
    partition: int
    first: int
    after: int
    late_watermark: Optional[datetime]
    closed_watermark: Optional[datetime] = None
    from_archive: bool = False

    def is_late(self, window_end: datetime) -> bool:
        """Whether events of a window that ends then (exclusive) were late for it."""
        return self.late_watermark is not None and window_end <= self.late_watermark


@dataclass(frozen=True)
class Reads:
    """What one checkpoint read. `began`: per partition the first offset that it read, or was to read.

    `last_batch`: the newest of its micro-batches that are meant, -1 where there is none. What had ended by
    `closed_watermark` was closed after that one; nothing was where it is None. `ends`: per partition the offset after
    the last one that it was to read. `skipped`: partition, first and end of what it left out because a person had
    accepted the loss.
    """

    reads: List[Read]
    began: Dict[int, int]
    last_batch: int
    closed_watermark: Optional[datetime] = None
    ends: Dict[int, int] = field(default_factory=dict)
    skipped: List[Tuple[int, int, int]] = field(default_factory=list)

    def find(self, partition: int, offset: int) -> Optional[Read]:
        """Who read an offset; None where nobody did."""
        firsts, reads = self._by_partition.get(partition, ([], []))
        place = bisect_right(firsts, offset) - 1
        return reads[place] if place >= 0 and offset < reads[place].after else None

    def of_partition(self, partition: int) -> List[Read]:
        """The reads of a partition, in order."""
        return self._by_partition.get(partition, ([], []))[1]

    def is_skipped(self, partition: int, offset: int) -> bool:
        """Whether a person had accepted that this checkpoint leaves the offset out."""
        return any(number == partition and start <= offset < end for number, start, end in self.skipped)

    def is_passed(self, partition: int, offset: int) -> bool:
        """Whether the checkpoint has gone beyond the offset: nothing will read it any more."""
        return offset < self.ends.get(partition, 0)

    def from_kafka(self, partition: int, start: int, end: int) -> List[Read]:
        """Who read anything of `[start, end)` from Kafka."""
        mine = (read for read in self.of_partition(partition) if not read.from_archive)
        return [read for read in mine if read.first < end and start < read.after]

    @cached_property
    def _by_partition(self) -> Dict[int, Tuple[List[int], List[Read]]]:
        """The reads of each partition in order, beside their first offsets; they do not overlap."""
        found: Dict[int, Tuple[List[int], List[Read]]] = {}
        for read in sorted(self.reads, key=lambda read: read.first):
            firsts, reads = found.setdefault(read.partition, ([], []))
            firsts.append(read.first)
            reads.append(read)
        return found


@dataclass(frozen=True)
class _Newest:
    """Of the newest micro-batch that is meant: its number (-1: there is none), its watermark, and where it ended."""

    batch_id: int = -1
    watermark: Optional[datetime] = None
    ends: Dict[int, int] = field(default_factory=dict)


class Journal:
    """The lines of one checkpoint (by its query id) about one topic, in a folder with one file a day."""

    def __init__(self, files: SmallFiles, folder: str, query_id: str, topic: str) -> None:
        self._files = files
        self._folder = folder
        self._query_id = query_id
        self._topic = topic

    def reads(self, offsets: OffsetRanges, until: Optional[Mapping[int, int]] = None) -> Tuple[List[Read], _Newest]:
        """The micro-batches that may have read these offsets (first, last) of each partition, and the newest of all.

        With `until`: only those that read nothing at or above these offsets. Reads the journals of the days on which
        that can have been, and the newest.
        """
        found: Dict[int, List[Read]] = {}
        newest = _Newest()
        for line in self._lines(offsets):
            ends = of_topic(line["end_offsets"], self._topic)
            if until is None or all(end <= until.get(partition, 0) for partition, end in ends.items()):
                batch = int(line["batch_id"])
                if batch >= newest.batch_id:
                    newest = _Newest(batch, _moment(line["watermark"]), ends)
                found[batch] = list(self._of_line(line, offsets))
        return [read for batch in sorted(found) for read in found[batch]], newest

    def _lines(self, offsets: OffsetRanges) -> Iterator[Dict[str, Any]]:
        names = sorted(self._files.names(self._folder))
        firsts = [*map(self._first_offsets, names), None]
        for number, name in enumerate(names):
            if name == names[-1] or _may_hold(offsets, firsts[number], firsts[number + 1]):
                for line in whole_lines(self._files.read(f"{self._folder}/{name}") or ""):
                    if line["query_id"] == self._query_id:
                        yield line

    def _of_line(self, line: Dict[str, Any], offsets: OffsetRanges) -> Iterator[Read]:
        starts = of_topic(line["start_offsets"], self._topic)
        for partition, after in of_topic(line["end_offsets"], self._topic).items():
            first = starts.get(partition, 0)
            lowest, highest = offsets.get(partition, (0, -1))
            if first < after and first <= highest and lowest < after:
                late = _moment(line["late_watermark"])
                # Lines of before sessions were known lack it. Since Spark 3.4 both are the same.
                closed = _moment(line["previous_watermark"]) if "previous_watermark" in line else late
                batch, is_archived = int(line["batch_id"]), bool(line.get("from_archive"))
                yield Read(batch, line["timestamp"], partition, first, after, late, closed, is_archived)

    def _first_offsets(self, name: str) -> Optional[Dict[int, int]]:
        """Where the file's first micro-batch began; None where that one is of another checkpoint."""
        for line in whole_lines(self._files.read_head(f"{self._folder}/{name}", _FIRST_LINE_BYTES)):
            return of_topic(line["start_offsets"], self._topic) if line["query_id"] == self._query_id else None
        return None


def offset_ranges(places: Iterable[Tuple[int, int]]) -> Dict[int, Tuple[int, int]]:
    """The first and the last offset of each partition among (partition, offset)."""
    found: Dict[int, Tuple[int, int]] = {}
    for partition, offset in places:
        first, last = found.get(partition, (offset, offset))
        found[partition] = (min(first, offset), max(last, offset))
    return found


def speed_reads(
    files: SmallFiles,
    lake: Lake,
    pipeline: Pipeline,
    version: str,
    offsets: OffsetRanges,
    until: Optional[Mapping[int, int]] = None,
) -> Optional[Reads]:
    """What the speed layer's version read of these offsets: see `Journal.reads`. None: it never ran."""
    topic = pipeline.topic.name
    checkpoint = Checkpoint(files, lake.checkpoint(speed_query(pipeline.name), version))
    query_id = checkpoint.query_id()
    if query_id is None:
        return None
    journal = Journal(files, lake.progress_folder(speed_stream(pipeline.name, version)), query_id, topic)
    reads, newest = journal.reads(offsets, until)
    stream = Lake("").checkpoint(speed_query(pipeline.name), version)
    accepted = ranges_of_stream(accepted_losses(files, lake, topic), stream)
    skipped = [(partition, *ends) for ranges in accepted for partition, ends in ranges.items()]
    began = of_topic(checkpoint.first_offsets(), topic)
    return Reads(reads, began, newest.batch_id, newest.watermark, newest.ends, skipped)


def whole_lines(text: str) -> Iterator[Dict[str, Any]]:
    """The lines of a journal, less those that a crash (or the end of a part) cut off."""
    for line in text.splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if isinstance(found, dict) and "batch_id" in found:
            yield found


def _may_hold(offsets: OffsetRanges, first: Optional[Dict[int, int]], following: Optional[Dict[int, int]]) -> bool:
    """Whether a journal that begins at `first`, before one that begins at `following`, may cover these offsets."""
    return any(
        (first is None or first.get(partition, 0) <= highest)
        and (following is None or lowest < following.get(partition, 0))
        for partition, (lowest, highest) in offsets.items()
    )


def _moment(text: Optional[str]) -> Optional[datetime]:
    return None if text is None else datetime.fromisoformat(text.replace("Z", "+00:00"))

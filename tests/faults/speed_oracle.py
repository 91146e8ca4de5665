"""What the speed layer's log must say, from the records that its micro-batches read: shares no code with the jobs."""

from __future__ import annotations

import json
from bisect import bisect_right
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from tests.end_to_end.topic_oracle import KafkaRecord, decode, high_low
from tests.faults.reader import Rows

__all__ = ["LateWindow", "MicroBatch", "SpeedOracle", "read_micro_batches"]

_MINUTE, _MILLISECOND = timedelta(minutes=1), timedelta(milliseconds=1)
_PARITY = ("equal", "different", "only_batch", "only_speed")


class MicroBatch(NamedTuple):
    """Of each partition it read the offsets [start, end). What had ended by `late_watermark` was late for it."""

    number: int
    starts: dict[int, int]
    ends: dict[int, int]
    late_watermark: datetime | None


LateWindow = tuple[str, int]
"""When a window begins, in ISO 8601, and how many of its events were late."""


class _Counted(NamedTuple):
    """A tick, and the micro-batch that has read it. `window`: when its own begins."""

    record: KafkaRecord
    event_time: datetime
    window: datetime
    number: int
    is_late: bool


class SpeedOracle:
    """`records`: all that the speed layer was to read. Fails where a micro-batch has read none of them, or two have.

    Which micro-batch read what is told by its journal, for nobody else remembers (Spark keeps the plans of the last
    hundred): `check_watermarks` tells whether the same journal is right about what was late, and what follows from
    both is compared with the rows that the query has written.
    """

    def __init__(self, records: Iterable[KafkaRecord], batches: Iterable[MicroBatch]) -> None:
        self._batches = sorted(batches)
        readers = _readers(self._batches)
        late = {each.number: each.late_watermark for each in self._batches}
        self._counted: dict[str, list[_Counted]] = {}
        self._newest_event: dict[int, datetime] = {}
        for record in records:
            number = _reader(readers, record)
            if (tick := decode(record)) is not None:
                window = tick.event_time.replace(second=0, microsecond=0)
                mark = late[number]
                is_late = mark is not None and window + _MINUTE <= mark
                interval = Interval.of(window, stock_high_low.interval).id
                each = _Counted(record, tick.event_time, window, number, is_late)
                self._counted.setdefault(interval, []).append(each)
                self._newest_event[number] = max(tick.event_time, self._newest_event.get(number, tick.event_time))

    def rows(self, interval: str, until: int | None = None) -> Rows:
        """The newest row of each key of an interval, after all micro-batches or after those up to `until`."""
        return high_low(each.record for each in self._of(interval, until) if not each.is_late)

    def late(self, interval: str, until: int | None = None) -> list[LateWindow]:
        """Of the windows of an interval that lack events, in order."""
        found = Counter(each.window for each in self._of(interval, until) if each.is_late)
        return [(window.isoformat(), count) for window, count in sorted(found.items())]

    def parity(self, interval: str, until: int, batch: Rows) -> dict[str, int]:
        """How many keys a run with these rows has to find equal, and so on, at micro-batch `until`."""
        speed = self.rows(interval, until)
        found = Counter(_outcome(batch.get(key), speed.get(key)) for key in {*batch, *speed})
        return {name: found[name] for name in _PARITY}

    def check_watermarks(self, is_lossy: bool) -> tuple[int, int]:
        """How many micro-batches judged by the watermark that plain Python works out, and how many by an older one.

        Spark judges by the watermark of the micro-batch before: the greatest event time of all before that one, less
        the delay. `is_lossy`: where a loss was accepted, the last micro-batch before it may be noted as done for a
        driver that was killed in it, and nobody knows its event times then: the watermark is behind until the next
        ones. Fails for any other difference; the journal's own is used for the rows in any case.
        """
        different = []
        for batch, expected in zip(self._batches, self._worked_out(), strict=True):
            told = batch.late_watermark
            if told != expected:
                may_differ = is_lossy and expected is not None and (told is None or told < expected)
                assert may_differ, f"micro-batch {batch.number}: late by {told}, expected {expected}"
                different.append(batch.number)
        return len(self._batches) - len(different), len(different)

    def _of(self, interval: str, until: int | None) -> Iterable[_Counted]:
        return (each for each in self._counted.get(interval, ()) if until is None or each.number <= until)

    def _worked_out(self) -> list[datetime | None]:
        """The watermark by which each micro-batch had to judge."""
        found: list[datetime | None] = []
        newest: datetime | None = None
        left = sorted(self._newest_event.items(), reverse=True)
        for batch in self._batches:
            while left and left[-1][0] <= batch.number - 2:
                moment = left.pop()[1]
                newest = moment if newest is None else max(newest, moment)
            found.append(None if newest is None else _cut(newest) - stock_high_low.watermark)
        return found


def read_micro_batches(lines: Iterable[str]) -> list[MicroBatch]:
    """From the lines of the speed layer's journal; a crash may have cut one off. The later one of two counts."""
    found = {}
    for line in lines:
        try:
            told = json.loads(line)
        except ValueError:
            continue
        offsets = (_offsets(told[name]) for name in ("start_offsets", "end_offsets"))
        late = told["late_watermark"]
        found[told["batch_id"]] = MicroBatch(told["batch_id"], *offsets, late and datetime.fromisoformat(late))
    return list(found.values())


def _offsets(told: Mapping[str, Mapping[str, int]]) -> dict[int, int]:
    return {int(partition): offset for partition, offset in told[stock_ticks.name].items()}


_Readers = dict[int, tuple[list[int], list[tuple[int, int]]]]


def _readers(batches: Iterable[MicroBatch]) -> _Readers:
    """Per partition, the first offsets of what micro-batches read, and beside each its end and the micro-batch."""
    found: _Readers = {}
    for partition in sorted({partition for each in batches for partition in each.ends}):
        spans = sorted(
            (each.starts.get(partition, 0), each.ends[partition], each.number)
            for each in batches
            if each.starts.get(partition, 0) < each.ends.get(partition, 0)
        )
        doubled = [(one, two) for one, two in pairwise(spans) if two[0] < one[1]]
        assert not doubled, f"partition {partition}: two have read the same (start, end, micro-batch): {doubled[:3]}"
        found[partition] = [start for start, _, _ in spans], [(end, number) for _, end, number in spans]
    return found


def _reader(readers: _Readers, record: KafkaRecord) -> int:
    """The micro-batch that has read a record."""
    starts, ends = readers.get(record.partition, ([], []))
    end, number = ends[place] if (place := bisect_right(starts, record.offset) - 1) >= 0 else (0, -1)
    assert record.offset < end, f"no micro-batch has read partition {record.partition}, offset {record.offset}"
    return number


def _outcome(batch: object, speed: object) -> str:
    if batch == speed:
        return "equal"
    return "only_speed" if batch is None else "only_batch" if speed is None else "different"


def _cut(moment: datetime) -> datetime:
    """Spark's watermarks are of whole milliseconds."""
    return moment - timedelta(microseconds=moment.microsecond % 1000)

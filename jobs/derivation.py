"""The speed layer's answer for an interval, derived again from the events that it counted.

A transformation makes all windows of an event at once, and the speed layer may have counted it in some of them only. So
the events are taken apart by classes of windows that do not overlap, and the transformation is applied to each.
"""

from __future__ import annotations

from functools import partial, reduce
from typing import Any, Callable, Iterator, List, Optional, Tuple, Union

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.interval import Interval
from jobs.late_counts import first_end_us
from jobs.layers import interval_rows
from jobs.pipeline import Pipeline
from jobs.speed_reads import event_us, is_late_for, micros, over
from jobs.speed_sessions import Counted, apart, speed_sessions
from jobs.verdicts import LATE, NOT_YET_CLOSED
from jobs.windows import Sessions

__all__ = ["Derivation", "SessionDerivation", "WindowDerivation"]

# The micro-batch of an event that none has read, where it is taken as counted: before all others.
_UNREAD = -1
_PLACED = "_of_partition int, _of_offset long, _class int, _is_open boolean"


class WindowDerivation:
    """Of windows that tumble or slide. Windows of a class begin a whole number of lengths apart; there are
    `length / every` classes, and each event is in one window of each.

    `marked`: see `jobs.speed_reads.mark`. `keys`: the keys whose answer is asked for.
    """

    def __init__(self, marked: DataFrame, pipeline: Pipeline, interval: Interval, keys: DataFrame) -> None:
        self._marked = marked
        self._pipeline = pipeline
        self._interval = interval
        self._length, self._every = micros(pipeline.windows.length), micros(pipeline.windows.every)
        self._classes = self._classes_of(keys)

    def kinds(self) -> List[str]:
        """The kinds of events that the speed layer's answer lacks (see `jobs.verdicts`), in no order."""
        late = F.when(is_late_for(first_end_us(self._pipeline)), LATE)
        return _distinct(self._marked.select(F.coalesce("_lacks", late).alias("kind")))

    def speed(self, lacks: str) -> DataFrame:
        """Its rows. `lacks`: `_lacks`, `_lacks_if_decoded` or `_lacks_if_read` (see `jobs.speed_reads.mark`)."""
        return self._by_class(lambda late: F.col(lacks).isNull() & ~late)

    def batch(self) -> DataFrame:
        """What batch answers, computed once more."""
        return interval_rows(self._marked, self._pipeline, self._interval)

    def batch_without(self, kind: str) -> DataFrame:
        """What batch would answer without the events of a kind."""
        if kind == LATE:
            return self._by_class(lambda late: F.col("_lacks").isNotNull() | ~late)
        return interval_rows(self._marked.where(~F.col("_lacks").eqNullSafe(kind)), self._pipeline, self._interval)

    def release(self) -> None:
        """Frees what is cached."""

    def _by_class(self, counts: Callable[[Column], Column]) -> DataFrame:
        """`counts` tells from whether an event is late for its window whether it counts there."""
        return reduce(DataFrame.unionByName, [self._of_class(counts, each) for each in self._classes])

    def _of_class(self, counts: Callable[[Column], Column], first: int) -> DataFrame:
        """Of the windows that begin `first` microseconds after a multiple of the length."""
        time = event_us(self._pipeline)
        end = time - over(time - first, self._length) + self._length
        rows = interval_rows(self._marked.where(counts(is_late_for(end))), self._pipeline, self._interval)
        return rows.where(self._class_of_row() == first) if self._length > self._every else rows

    def _class_of_row(self) -> Column:
        """The same of a window's start and of its end."""
        return over(F.expr(f"unix_micros(`{self._pipeline.row_time}`)"), self._length)

    def _classes_of(self, keys: DataFrame) -> List[int]:
        """Those of the keys alone: each costs one more application of the transformation. At least one."""
        if self._length == self._every:
            return [0]
        found = keys.select(self._class_of_row().alias("first")).distinct().collect()
        return sorted(row["first"] for row in found if row["first"] % self._every == 0) or [0]


class SessionDerivation:
    """Of sessions. Which events are one session depends on which sessions were closed when they came: that is done
    again for the groups of the keys; sessions that batch would merge are put into different classes.

    `closed`: the watermark, in microseconds, by which sessions were closed when the answer was taken.
    """

    def __init__(
        self,
        marked: DataFrame,
        pipeline: Pipeline,
        interval: Interval,
        keys: DataFrame,
        sessions: Sessions,
        closed: Optional[int],
    ) -> None:
        self._pipeline = pipeline
        self._interval = interval
        self._closed = closed
        self._sessions = sessions
        self._marked = self._of_groups(marked, keys)
        self._placed = self._place("_lacks").cache()

    def kinds(self) -> List[str]:
        return _distinct(self._placed.select(self._kind().alias("kind")))

    def speed(self, lacks: str) -> DataFrame:
        placed = self._placed if lacks == "_lacks" else self._place(lacks)
        of_closed = placed.where(~F.col("_is_open"))
        classes = sorted(row["_class"] for row in of_closed.select("_class").distinct().collect()) or [0]
        parts = [of_closed.where(F.col("_class") == each) for each in classes]
        return reduce(DataFrame.unionByName, [interval_rows(part, self._pipeline, self._interval) for part in parts])

    def batch(self) -> DataFrame:
        return interval_rows(self._placed, self._pipeline, self._interval)

    def batch_without(self, kind: str) -> DataFrame:
        return interval_rows(self._placed.where(~self._kind().eqNullSafe(kind)), self._pipeline, self._interval)

    def release(self) -> None:
        self._placed.unpersist()

    def _kind(self) -> Column:
        """An event that came after what it would have joined was closed is late too, though it was not dropped."""
        late = F.when(is_late_for(first_end_us(self._pipeline)) | (F.col("_class") > 0), LATE)
        return F.coalesce("_lacks", late, F.when(F.col("_is_open"), NOT_YET_CLOSED))

    def _of_groups(self, marked: DataFrame, keys: DataFrame) -> DataFrame:
        names = self._sessions.by
        groups = keys.select(*[F.col(name).alias(f"_of_{name}") for name in names]).distinct()
        same = [F.col(f"event.{name}").eqNullSafe(F.col(f"_of_{name}")) for name in names]
        return marked.join(groups, same, "left_semi")

    def _place(self, lacks: str) -> DataFrame:
        """Adds the `_class` of the session that counted the event, and whether that `_is_open`; null where none did."""
        counted = self._marked.where(F.col(lacks).isNull() & ~is_late_for(first_end_us(self._pipeline)))
        batch = F.coalesce("_batch", F.lit(_UNREAD)).alias("_batch")
        each = F.struct(batch, "_closed_us", event_us(self._pipeline).alias("_time"), "partition", "offset")
        by = [F.col(f"event.{name}") for name in self._sessions.by]
        groups = counted.groupBy(*by).agg(F.collect_list(each).alias("events")).select("events")
        place = partial(_places, gap=micros(self._sessions.gap), closed=self._closed)
        places = self._marked.sparkSession.createDataFrame(groups.rdd.flatMap(place), _PLACED)
        same = (F.col("partition") == F.col("_of_partition")) & (F.col("offset") == F.col("_of_offset"))
        return self._marked.join(places, same, "left").drop("_of_partition", "_of_offset")


def _places(group: Any, gap: int, closed: Optional[int]) -> Iterator[Tuple[int, int, int, bool]]:
    """Partition, offset, class and whether it is open, of each event of a group."""
    for number, session in apart(speed_sessions([Counted(*event) for event in group["events"]], gap, closed)):
        for event in session.events:
            yield event.partition, event.offset, number, session.is_open


Derivation = Union[WindowDerivation, SessionDerivation]


def _distinct(kinds: DataFrame) -> List[str]:
    return [row["kind"] for row in kinds.distinct().collect() if row["kind"] is not None]

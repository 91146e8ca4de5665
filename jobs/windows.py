"""How a transformation cuts time: into windows that tumble or slide, or into sessions. No Spark import here."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Iterator, Tuple, Union

from jobs.errors import DeclarationError
from jobs.interval import floor_to

__all__ = ["Sessions", "Sliding", "Windows"]

_PLACES = ("start", "end")
_MILLISECOND = timedelta(milliseconds=1)


@dataclass(frozen=True)
class Sliding:
    """Windows `[start, end)` of `length` that begin at every multiple of `every` since 1970-01-01 UTC.

    An event is in `length / every` of them; where that is 1 they tumble. It is what Spark's
    `window(time, length, every)` makes. `placed_by` says what the pipeline's `row_time` holds: the window's "start", or
    its "end"; a window that ends with an interval then belongs to the next one.
    """

    length: timedelta
    every: timedelta
    placed_by: str = "start"

    def __post_init__(self) -> None:
        for field in ("length", "every"):
            _check_positive("sliding windows", field, getattr(self, field))
        if self.length % self.every:
            rule = f"does not divide the length {self.length}"
            raise DeclarationError("sliding windows", "every", str(self.every), rule, "use a divisor of it")
        if self.placed_by not in _PLACES:
            remedy = f"use one of {', '.join(_PLACES)}"
            raise DeclarationError("sliding windows", "placed_by", self.placed_by, "is not known", remedy)

    @property
    def before(self) -> timedelta:
        """How long before an interval's start the events begin that its rows are made of."""
        return timedelta(0) if self.placed_by == "start" else self.length

    @property
    def after(self) -> timedelta:
        """How long after an interval's end they end (exclusive); negative where its last ones make rows of the next."""
        return self.length - self.every if self.placed_by == "start" else -self.every

    @property
    def columns(self) -> Tuple[str, ...]:
        """Columns that an output must have besides the pipeline's key and row_time."""
        return ()

    def of_event(self, time: datetime) -> Iterator[Tuple[datetime, datetime]]:
        """The windows of an event, `[start, end)` each, the first to close first."""
        start = floor_to(time, self.every) + self.every - self.length
        while start <= time:
            yield start, start + self.length
            start += self.every

    def of_row(self, row_time: datetime) -> Tuple[datetime, datetime]:
        """The window `[start, end)` of a row."""
        start = row_time if self.placed_by == "start" else row_time - self.length
        return start, start + self.length

    def row_time(self, start: datetime) -> datetime:
        """What `row_time` holds for the window that starts then."""
        return start if self.placed_by == "start" else start + self.length


@dataclass(frozen=True)
class Sessions:
    """Sessions: events of one value of `by` no further apart than `gap`. It is what Spark's `session_window` makes.

    `by`: fields of the event, and columns of the key, by which the transformation groups. The pipeline's `row_time` is
    the session's start, the time of its first event; the output column `end` is the time of its last plus `gap`.

    `lookback`: how long after the end of its interval a session may go on. A run reads that far. It fails when one went
    on for longer: its row would be cut, and would say nothing of that.

    Spark allows sessions in append mode alone: the speed layer serves a session once it is closed, when the watermark
    has passed its end.
    """

    gap: timedelta
    by: Tuple[str, ...]
    lookback: timedelta
    end: str = "session_end"

    def __post_init__(self) -> None:
        for field in ("gap", "lookback"):
            _check_positive("sessions", field, getattr(self, field))
        if isinstance(self.by, str):
            raise DeclarationError(
                "sessions", "by", self.by, "is one text, not a tuple of names", f"use ({self.by!r},)"
            )
        if self.lookback < self.gap:
            rule = f"is shorter than the gap {self.gap}, so not even a session of one event could cross an interval"
            raise DeclarationError("sessions", "lookback", str(self.lookback), rule, "use the longest session")

    @property
    def length(self) -> timedelta:
        """Of the session that an event alone makes."""
        return self.gap

    @property
    def every(self) -> timedelta:
        """As of windows that tumble: an event alone makes one session."""
        return self.gap

    @property
    def before(self) -> timedelta:
        """An event begins a session when there is none within the gap before it."""
        return self.gap

    @property
    def after(self) -> timedelta:
        return self.lookback

    @property
    def columns(self) -> Tuple[str, ...]:
        return (self.end,)

    def of_event(self, time: datetime) -> Iterator[Tuple[datetime, datetime]]:
        """The session that an event alone makes: Spark drops the event when that one is closed."""
        yield time, time + self.gap

    def row_time(self, start: datetime) -> datetime:
        return start


Windows = Union[Sliding, Sessions]


def _check_positive(thing: str, field: str, value: timedelta) -> None:
    if value <= timedelta(0) or value % _MILLISECOND:
        rule = "is not a positive number of whole milliseconds"
        raise DeclarationError(thing, field, str(value), rule, "change it")

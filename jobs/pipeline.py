"""Declaring a pipeline: one transformation, both layers, one view. No Spark import here: Airflow parses this."""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import timedelta
from typing import Optional, Tuple, Union

from jobs.alerts_topic import Alerts
from jobs.errors import DeclarationError
from jobs.interval import Interval
from jobs.topic import Topic
from jobs.transform import Transforming
from jobs.windows import Sessions, Sliding, Windows

__all__ = ["Pipeline"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_RESERVED = frozenset({"outcome", "cause", "batch", "speed", "magnitude"})
_DAY = timedelta(days=1)


@dataclass(frozen=True)
class Pipeline(Transforming):
    """One transformation and how it is cut in time.

    `transform`: `package.module:function`, a pure `DataFrame -> DataFrame`. Its input has the topic's fields and
    `_partition`, `_offset`; its output must hold the `key` columns (unique per row) and `row_time`, the timestamp
    that places a row in its interval: the start of its window. `window` is the length of windows that tumble, or
    `Sliding(...)` or `Sessions(...)` of `jobs.windows`. `watermark` bounds how late the speed layer accepts events.
    `interval` is what one batch run covers: whole windows (a whole number of slides, where they slide), and it divides
    a day or is whole days. Rows of windows and sessions that cross an edge of it are made of events beyond it: see
    `reads`. `float_tolerance` is relative, for parity of floating point columns; all others compare exactly. A run with
    more than `max_unexplained` differences between the layers that have no known cause is not published. Raise
    `revision` to rebuild the speed layer from a new checkpoint without a change of code. `alerts` leave for a Kafka
    topic of their own, as their events come: see `jobs.alerts_topic`.
    """

    name: str
    topic: Topic
    transform: str
    key: Tuple[str, ...]
    row_time: str
    window: Union[timedelta, Sliding, Sessions]
    watermark: timedelta
    interval: timedelta = _DAY
    float_tolerance: float = 1e-9
    max_unexplained: int = 0
    revision: int = 1
    alerts: Optional[Alerts] = None

    @property
    def windows(self) -> Windows:
        """How the transformation cuts time."""
        return Sliding(self.window, self.window) if isinstance(self.window, timedelta) else self.window

    @property
    def output_mode(self) -> str:
        """Of the speed query: a window's row is served while it grows, a session's once it is closed."""
        return "append" if isinstance(self.window, Sessions) else "update"

    def reads(self, interval: Interval) -> Interval:
        """The event times `[start, end)` that decide the rows of an interval: what a batch run reads."""
        return Interval(interval.start - self.windows.before, interval.end + self.windows.after)

    def __post_init__(self) -> None:
        if not _NAME.fullmatch(self.name) or "__" in self.name:
            self._refuse("name", self.name, "is not lower_snake_case with single underscores", "rename it")
        if not self.names_a_function:
            self._refuse("transform", self.transform, "is not package.module:function", "write it so")
        if isinstance(self.key, str):
            self._refuse("key", self.key, "is one text, not a tuple of names", f"write ({self.key!r},)")
        for name in _RESERVED.intersection(self.key):
            self._refuse("key", name, "is a name that comparisons of the layers use", "rename the column")
        if not self.key:
            self._refuse("key", self.key, "is empty", "name the columns that identify an output row")
        for field in ("window", "watermark", "interval"):
            value = getattr(self, field)
            if isinstance(value, timedelta) and (value <= timedelta(0) or value % timedelta(milliseconds=1)):
                self._refuse(field, str(value), "is not a positive number of whole milliseconds", "change it")
        self._check_windows()
        self._check_interval()
        if not 0 <= self.float_tolerance < 1:
            self._refuse("float_tolerance", self.float_tolerance, "is outside [0, 1)", "use a relative tolerance")
        if self.max_unexplained < 0:
            self._refuse("max_unexplained", self.max_unexplained, "is below 0", "use 0, or the number you accept")
        self._check_alerts()

    def _check_alerts(self) -> None:
        if self.alerts and self.alerts.topic == self.topic.name:
            rule = "is the topic that the pipeline reads: each alert would be an event again"
            self._refuse("alerts", self.alerts.topic, rule, "name another topic")

    def _check_windows(self) -> None:
        if isinstance(self.window, timedelta):
            return
        if self.row_time not in self.key:
            rule = f"lacks the row_time {self.row_time!r}, which tells windows apart"
            self._refuse("key", self.key, rule, f"add {self.row_time!r}")
        if isinstance(self.window, Sessions):
            fields = {field.name for field in self.topic.fields}
            for name in self.window.by:
                if name not in fields or name not in self.key:
                    rule = "is not a field of the topic and a column of the key"
                    self._refuse("window", f"Sessions by {name}", rule, "group by fields, and keep their names")

    def _check_interval(self) -> None:
        if self.interval % timedelta(seconds=1):
            self._refuse("interval", str(self.interval), "is not whole seconds", "use whole seconds")
        every = self.windows.every
        if not isinstance(self.window, Sessions) and self.interval % every:
            whole = every * max(1, self.interval // every)
            kind = "windows" if self.windows.length == every else "slides"
            remedy = f"use {whole} or {whole + every}"
            self._refuse("interval", str(self.interval), f"is not a whole number of {every} {kind}", remedy)
        if self.interval % _DAY and _DAY % self.interval:
            remedy = "use hours that divide 24, or days"
            self._refuse("interval", str(self.interval), "neither divides a day nor is whole days", remedy)

    def _refuse(self, field: str, value: object, rule: str, remedy: str) -> None:
        raise DeclarationError(f"pipeline {self.name!r}", field, value, rule, remedy)

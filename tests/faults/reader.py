"""A reader that polls the serving view all the time, and believes nothing."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import pyarrow as pa

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.published import Publication, publications
from millrace.lake.view import read_view
from tests.end_to_end.topic_oracle import view_rows

__all__ = ["Answer", "Reader", "Windows", "by_interval"]

Key = tuple[str, datetime]
Rows = dict[Key, dict[str, Any]]


class Windows:
    """When the storage was disturbed on purpose, by the monotonic clock: what fails then is no surprise."""

    def __init__(self) -> None:
        self._windows: list[list[float]] = []

    def open(self) -> None:
        self._windows.append([time.monotonic(), float("inf")])

    def close(self) -> None:
        self._windows[-1][1] = time.monotonic()

    def overlap(self, start: float, end: float) -> bool:
        return any(start <= closed and end >= opened for opened, closed in list(self._windows))


@dataclass(frozen=True)
class Answer:
    """What the view said of an interval that run `publication.run` served, whenever it was asked."""

    publication: Publication
    rows: Rows


@dataclass
class Reader:
    """Polls until `end`. A poll that contradicts an earlier one, or itself, is an objection.

    Per poll: no key twice, no interval served by both layers, none that was there before is gone, no key is gone, no
    count is lower than before, a published run's rows never change, and no interval goes back from batch to speed.
    Where an accepted loss touched an interval (its id is in `touched`), the archive may lack what the speed layer had
    counted: a count may be lower once, in the answer in which the batch layer takes over.
    A poll that is not answered counts as `unanswered` while the storage is disturbed, and is an objection otherwise.
    """

    environment: Environment
    windows: Windows
    touched: set[str] = field(default_factory=set)
    polls: int = 0
    unanswered: int = 0
    objections: list[str] = field(default_factory=list)
    answers: dict[tuple[str, str], Answer] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self._stop = threading.Event()
        self._counts: dict[Key, int] = {}
        self._layers: dict[str, set[str]] = {}
        self._thread = threading.Thread(target=self._run, name="reader")

    def start(self) -> None:
        self._thread.start()

    def end(self) -> None:
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        try:
            while not self._stop.wait(0.5):
                self._poll()
        except Exception as error:  # noqa: BLE001 - a reader that is gone must not look like one that is content
            self._object(f"the reader failed: {error!r}")

    def _poll(self) -> None:
        started = time.monotonic()
        try:
            before = _served(self.environment)
            view = read_view(self.environment, stock_high_low)
            after = _served(self.environment)
        except Exception as error:  # noqa: BLE001 - whatever a client of a disturbed storage raises
            self._not_answered(started, error)
            return
        self.check(view, before, after)
        self.polls += 1

    def _not_answered(self, started: float, error: Exception) -> None:
        self.unanswered += 1
        if not self.windows.overlap(started, time.monotonic()):
            self._object(f"not answered while nothing disturbed the storage: {type(error).__name__}: {error}")

    def check(self, view: pa.Table, before: dict[str, Publication], after: dict[str, Publication]) -> None:
        """One answer, with what was published before it was asked for, and after: by interval."""
        if not view.num_rows and not self._layers:
            return
        try:
            rows = view_rows(view)
        except AssertionError as error:
            self._object(str(error))
            return
        self._check_counts(rows, self._check_layers(view) & self.touched)
        for interval, found in by_interval(rows).items():
            served = before.get(interval)
            if served is not None and after[interval].run == served.run:
                self._check_run(served, found)

    def _check_layers(self, view: pa.Table) -> set[str]:
        """The intervals that the batch layer has taken over since the last answer."""
        layers: dict[str, set[str]] = {}
        for row in view.select(["_interval", "_layer"] if view.num_columns else []).to_pylist():
            layers.setdefault(row["_interval"], set()).add(row["_layer"])
        for interval, earlier in self._layers.items():
            if interval not in layers:
                self._object(f"interval {interval} is gone")
            elif earlier == {"batch"} and layers[interval] != {"batch"}:
                self._object(f"interval {interval} went back from batch to {layers[interval]}")
        taken = {each for each, found in layers.items() if found == {"batch"} and self._layers.get(each) == {"speed"}}
        self._layers.update(layers)
        for interval, found in layers.items():
            if len(found) > 1:
                self._object(f"interval {interval} is served by both layers")
        return taken

    def _check_counts(self, rows: Rows, may_lose: set[str]) -> None:
        lower = [key for key, count in self._counts.items() if key not in rows or rows[key]["count"] < count]
        if may_lose and lower:
            lower = [key for key in lower if Interval.of(key[1], stock_high_low.interval).id not in may_lose]
            self._counts = {key: count for key, count in self._counts.items() if key in rows or key in lower}
        for key in lower[:3]:
            now = rows[key]["count"] if key in rows else "gone"
            self._object(f"{key[0]} {key[1].isoformat()}: count {self._counts[key]}, then {now} ({len(lower)} such)")
        self._counts.update({key: row["count"] for key, row in rows.items()})

    def _check_run(self, served: Publication, rows: Rows) -> None:
        seen = self.answers.setdefault((served.interval.id, served.run), Answer(served, rows))
        if seen.rows != rows:
            self._object(f"interval {served.interval.id}: run {served.run} answered differently the second time")

    def _object(self, what: str) -> None:
        if len(self.objections) < 20:
            self.objections.append(what)


def by_interval(rows: Rows) -> dict[str, Rows]:
    """Rows by the id of their interval."""
    found: dict[str, Rows] = {}
    for key, row in rows.items():
        found.setdefault(Interval.of(key[1], stock_high_low.interval).id, {})[key] = row
    return found


def _served(environment: Environment) -> dict[str, Publication]:
    return {found.interval.id: found for found in publications(environment, stock_high_low)}

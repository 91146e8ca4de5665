"""What goes wrong on purpose: other answers than the right ones, resources that fail or take their time."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from millrace.azure.arm import Resource
from tests.azure_control_plane.exchange import Answer, Request, refusal

__all__ = ["CLOSED", "Faults", "Stall"]

CLOSED = Answer(0)
"""The connection is closed, with nothing answered."""


@dataclass
class _Planned:
    method: str
    path: re.Pattern[str]
    answer: Answer
    done: bool


@dataclass
class Stall:
    """A request that is kept waiting: `arrived` once it is there (with `done`: and was done), until `over`.

    One that was not done by then is lost, as a request is whose sender dies while it is on its way.
    """

    method: str
    path: re.Pattern[str]
    done: bool
    arrived: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)


@dataclass
class _Event:
    method: str
    path: re.Pattern[str]
    act: Callable[[], None]
    after: int


@dataclass
class Faults:
    """Everything planned here happens as often as it was planned; `happened` counts what did."""

    held: set[str] = field(default_factory=set)
    happened: int = 0
    _planned: list[_Planned] = field(default_factory=list)
    _failing: list[tuple[str, Mapping[str, Any]]] = field(default_factory=list)
    _stalls: list[Stall] = field(default_factory=list)
    _events: list[_Event] = field(default_factory=list)

    def answer(self, method: str, path: str, *answers: Answer, done: bool = False) -> None:
        """The next requests whose path matches are answered so, one after the other; with `done`, only once what they
        ask has been done."""
        self._planned.extend(_Planned(method, re.compile(path, re.IGNORECASE), one, done) for one in answers)

    def when(self, method: str, path: str, act: Callable[[], None], *, after: int = 0) -> None:
        """`act` once, when a request whose path matches has come, and before it is answered; `after` others of them."""
        self._events.append(_Event(method, re.compile(path, re.IGNORECASE), act, after))

    def befall(self, request: Request) -> None:
        """Act where this request was what was waited for."""
        for event in list(self._events):
            if event.method == request.method and event.path.search(request.path):
                if event.after == 0:
                    self._events.remove(event)
                    self.happened += 1
                    event.act()
                event.after -= 1

    @contextmanager
    def stall(self, method: str, path: str, *, done: bool) -> Iterator[Stall]:
        """The next request whose path matches waits until the end of the block."""
        stall = Stall(method, re.compile(path, re.IGNORECASE), done)
        self._stalls.append(stall)
        try:
            yield stall
        finally:
            stall.over.set()

    def wait(self, request: Request, *, done: bool) -> Answer | None:
        """Wait where this request is stalled; the answer of one that is lost."""
        for stall in self._stalls:
            if stall.done == done and stall.method == request.method and stall.path.search(request.path):
                self._stalls.remove(stall)
                self.happened += 1
                stall.arrived.set()
                stall.over.wait()
                return None if done else CLOSED
        return None

    def throttle(self, method: str, path: str, times: int) -> None:
        """Too many requests: come back after a second."""
        text = "The request was throttled."
        self.answer(method, path, *[refusal(429, "TooManyRequests", text, retry_after="1")] * times)

    def fail(self, part: str, error: Mapping[str, Any], times: int = 1) -> None:
        """The next creations of a resource whose id contains `part` end with this error."""
        self._failing.extend([(part.lower(), error)] * times)

    def hold(self, *parts: str) -> None:
        """Resources whose id contains a part stay `Running` until `release`; a cluster reads InProgress meanwhile."""
        self.held.update(part.lower() for part in parts)

    def release(self) -> None:
        """Nothing is held any longer."""
        self.held.clear()

    def instead(self, request: Request, *, done: bool) -> Answer | None:
        """The answer that was planned for this request, used up."""
        for planned in self._planned:
            if planned.done == done and planned.method == request.method and planned.path.search(request.path):
                self._planned.remove(planned)
                self.happened += 1
                return planned.answer
        return None

    def of(self, resource: Resource) -> Mapping[str, Any] | str | None:
        """`Running` while the resource is held; the error with which its creation fails; else None."""
        if _contains(resource, self.held):
            return "Running"
        for planned in self._failing:
            if _contains(resource, [planned[0]]):
                self._failing.remove(planned)
                self.happened += 1
                return planned[1]
        return None


def _contains(resource: Resource, parts: Iterable[str]) -> bool:
    return any(part in resource.id.lower() for part in parts)

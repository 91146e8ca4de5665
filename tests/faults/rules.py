"""What the proxy does with a request instead of passing it on."""

from __future__ import annotations

import asyncio
import random
import re
from collections import Counter
from dataclasses import dataclass, field
from typing import Protocol

from tests.faults.http_messages import Request

__all__ = ["Answered", "Refused", "Reset", "Rule", "Seen", "Slow", "Trap", "Unruly", "Verdict"]


class Verdict:
    """One fate of one request."""


class Refused(Verdict):
    """Answered 503, as Azure does under load; the storage never sees it."""


class Reset(Verdict):
    """The connection is reset before the storage sees the request."""


class Answered(Verdict):
    """The storage does what was asked; the connection is reset instead of an answer."""


class Slow(Verdict):
    """Passed on after `delay_s`."""

    def __init__(self, delay_s: float) -> None:
        self.delay_s = delay_s


@dataclass(frozen=True)
class Seen:
    """How many requests a rule was `asked` about, to how many it has `given` which verdict, whose blobs it `caught`."""

    asked: int = 0
    given: dict[str, int] = field(default_factory=dict)
    caught: tuple[str, ...] = ()


class Rule(Protocol):
    """Both are called in the proxy's process. `judge` gives None for what is not this rule's business."""

    def judge(self, request: Request) -> Verdict | None: ...

    def seen(self) -> Seen: ...


class Unruly:
    """Gives requests, with probability `share`, one of the `verdicts`."""

    def __init__(self, seed: int, share: float, verdicts: tuple[Verdict, ...]) -> None:
        self._random = random.Random(seed)
        self._share = share
        self._verdicts = verdicts
        self._given: Counter[str] = Counter()
        self._asked = 0

    def judge(self, request: Request) -> Verdict | None:
        self._asked += 1
        if self._random.random() >= self._share:
            return None
        verdict = self._random.choice(self._verdicts)
        self._given[type(verdict).__name__.lower()] += 1
        return verdict

    def seen(self) -> Seen:
        return Seen(self._asked, dict(self._given))


class Trap(Verdict):
    """Holds every request that matches until it is opened.

    `pattern` is searched for in the blob's path; no method: any. `after`: the storage does what was asked, and its
    answer is held.
    """

    def __init__(self, method: str | None, pattern: str, *, after: bool = False) -> None:
        self.method = method
        self.pattern = pattern
        self.after = after
        self._opened: bool | None = None
        self._waiting: list[asyncio.Future[bool]] = []
        self._caught: list[str] = []

    def judge(self, request: Request) -> Verdict | None:
        is_mine = self.method in (request.method, None) and re.search(self.pattern, request.blob)
        return self if is_mine and self._opened is None else None

    def seen(self) -> Seen:
        return Seen(caught=tuple(self._caught))

    async def hold(self, request: Request) -> bool:
        """Whether the request, or its answer, may go on."""
        if self._opened is not None:
            return self._opened
        future = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._caught.append(request.blob)
        return await future

    def open(self, go_on: bool) -> None:
        """In the proxy's loop."""
        self._opened = go_on if self._opened is None else self._opened
        for future in self._waiting:
            if not future.done():
                future.set_result(self._opened)

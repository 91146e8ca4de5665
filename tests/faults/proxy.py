"""A small HTTP proxy before Azurite, in a process of its own: see `tests.faults.proxy_server`."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from multiprocessing.managers import BaseManager

from tests.faults.proxy_server import Counts, ProxyServer
from tests.faults.rules import Rule, Seen, Trap

__all__ = ["Proxy", "Trapped"]


class _Manager(BaseManager):
    pass


_Manager.register("server", ProxyServer)


class Proxy:
    """Listens on a loopback port, the same from `start` to `stop`."""

    def __init__(self) -> None:
        self._manager = _Manager(ctx=multiprocessing.get_context("spawn"))
        self._server: ProxyServer

    def start(self) -> int:
        """Its port; it takes connections from `listen` on."""
        self._manager.start()
        self._server = self._manager.server()  # type: ignore[attr-defined]
        return self._server.port()

    def stop(self) -> None:
        if hasattr(self, "_server"):
            self._manager.shutdown()

    def listen(self, upstream: int) -> None:
        """Take connections (again), and pass requests on to this port."""
        self._server.listen(upstream)

    def refuse_connections(self) -> None:
        """As a storage that is down: connections are refused, those that stand are reset."""
        self._server.refuse_connections()

    def counts(self) -> Counts:
        return self._server.counts()

    @contextmanager
    def rule(self, rule: Rule) -> Iterator[Callable[[], Seen]]:
        """The rule applies within the `with` block, which can ask what it has seen."""
        number = self._server.add(rule)
        try:
            yield lambda: self._server.seen(number)
        finally:
            self._server.remove(number)

    @contextmanager
    def trap(self, method: str | None, pattern: str, *, after: bool = False) -> Iterator[Trapped]:
        """Requests are held (see `Trap`) within the `with` block; what is held at its end is dropped."""
        number = self._server.add(Trap(method, pattern, after=after))
        try:
            yield Trapped(self._server, number, f"{method or 'request'} {pattern}")
        finally:
            self._server.remove(number)


@dataclass(frozen=True)
class Trapped:
    """A trap in the proxy, from here."""

    server: ProxyServer
    number: int
    what: str

    @property
    def caught(self) -> tuple[str, ...]:
        """The blobs of the requests that were held, in order."""
        return self.server.seen(self.number).caught

    def await_request(self, timeout: timedelta, why_none: Callable[[], str | None] = lambda: None) -> str:
        """The blob of the first request that is held; fails when none comes, or it is said why none will."""
        deadline = time.monotonic() + timeout.total_seconds()
        while not self.caught:
            why = why_none()
            assert not why, f"awaited {self.what}: {why}"
            assert time.monotonic() < deadline, f"after {timeout}: no {self.what}"
            time.sleep(0.1)
        return self.caught[0]

    def release(self) -> None:
        """What is held goes on."""
        self.server.open_trap(self.number, True)

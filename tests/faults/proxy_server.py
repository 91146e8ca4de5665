"""The proxy itself, which runs in a process of its own: it can refuse, reset, delay and hold what passes through it.

In this process it would wait for delta-rs, which waits for it with Python's lock in its hand.

What stands in a request's way are rules (`tests.faults.rules`). Heads are passed on as they came: they are signed.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import threading
import time
from asyncio import StreamReader, StreamWriter
from collections import Counter
from collections.abc import Coroutine
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from tests.faults.http_messages import Head, Request, copy_body, read_head
from tests.faults.rules import Answered, Refused, Reset, Rule, Seen, Slow, Trap, Verdict

__all__ = ["Counts", "ProxyServer"]

LOOPBACK = "127.0.0.1"
T = TypeVar("T")

_BUSY = b'<?xml version="1.0" encoding="utf-8"?><Error><Code>ServerBusy</Code><Message>Too busy.</Message></Error>'
_REFUSAL = (
    b"HTTP/1.1 503 The server is busy.\r\nx-ms-error-code: ServerBusy\r\nContent-Type: application/xml\r\n"
    b"Connection: close\r\nContent-Length: " + str(len(_BUSY)).encode() + b"\r\n\r\n"
)


@dataclass(frozen=True)
class Counts:
    """`answers` of the storage, `in_flight` to it now, and what it `failed` at: answered with 500 or above."""

    answers: int
    in_flight: int
    failed: tuple[str, ...]


class ProxyServer:
    """Its public methods are called by other processes, through a manager. `port` stays the same for life."""

    def __init__(self) -> None:
        with socket.socket() as chosen:
            chosen.bind((LOOPBACK, 0))
            self._port: int = chosen.getsockname()[1]
        self._upstream = 0
        self._answers: Counter[int] = Counter()
        self._failed: list[str] = []
        self._in_flight = 0
        self._rules: dict[int, Rule] = {}
        self._added = 0
        self._server: asyncio.Server | None = None
        self._clients: set[StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, name="proxy", daemon=True).start()
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()

    def port(self) -> int:
        return self._port

    def listen(self, upstream: int) -> None:
        """Take connections (again), and pass their requests on to this port."""
        self._upstream = upstream
        self._run(self._listen())

    def refuse_connections(self) -> None:
        """As a storage that is down: connections are refused, those that stand are reset."""
        self._run(self._hang_up())

    def add(self, rule: Rule) -> int:
        """From now on the rule applies; its number."""
        self._added += 1
        self._rules = {**self._rules, self._added: rule}
        return self._added

    def remove(self, number: int) -> None:
        """It applies no more; what a trap still holds is dropped."""
        rule = self._rules[number]
        self._rules = {key: each for key, each in self._rules.items() if key != number}
        if isinstance(rule, Trap):
            self._loop.call_soon_threadsafe(rule.open, False)

    def open_trap(self, number: int, go_on: bool) -> None:
        """What the trap holds goes on, or is reset; it holds nothing more."""
        rule = self._rules[number]
        assert isinstance(rule, Trap)
        self._loop.call_soon_threadsafe(rule.open, go_on)

    def seen(self, number: int) -> Seen:
        """What a rule has seen so far."""
        return self._rules[number].seen()

    def counts(self) -> Counts:
        return Counts(self._answers.total(), self._in_flight, tuple(self._failed))

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(work, self._loop).result(timeout=30)

    async def _listen(self) -> None:
        if self._server is None:
            self._server = await asyncio.start_server(self._serve, LOOPBACK, self._port, limit=2**20)

    async def _hang_up(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None
        for writer in list(self._clients):
            _reset(writer)

    async def _serve(self, reader: StreamReader, writer: StreamWriter) -> None:
        self._clients.add(writer)
        try:
            while (head := await read_head(reader)) is not None:
                if not await self._handle(Request.of(head), reader, writer):
                    break
        except (OSError, asyncio.IncompleteReadError):
            _reset(writer)
        finally:
            self._clients.discard(writer)
            with suppress(OSError):
                writer.close()

    async def _handle(self, request: Request, reader: StreamReader, writer: StreamWriter) -> bool:
        """Whether the connection may be used again."""
        verdict = next((found for rule in self._rules.values() if (found := rule.judge(request))), None)
        if isinstance(verdict, Refused):
            if "expect" not in request.head.headers:
                await copy_body(request.head, reader, None)
            writer.write(_REFUSAL + (b"" if request.method == "HEAD" else _BUSY))
            await writer.drain()
            return False
        if isinstance(verdict, Slow):
            await asyncio.sleep(verdict.delay_s)
        is_stopped = isinstance(verdict, Trap) and not verdict.after and not await verdict.hold(request)
        if isinstance(verdict, Reset) or is_stopped:
            _reset(writer)
            return False
        self._in_flight += 1
        try:
            return await self._pass_on(request, verdict, reader, writer)
        finally:
            self._in_flight -= 1

    async def _pass_on(
        self, request: Request, verdict: Verdict | None, reader: StreamReader, writer: StreamWriter
    ) -> bool:
        # A connection per request: Azurite may close one that it kept open at any moment.
        answers, storage = await asyncio.open_connection(LOOPBACK, self._upstream, limit=2**20)
        storage.write(request.head.raw)
        body = asyncio.create_task(copy_body(request.head, reader, storage))
        try:
            head = await read_head(answers)
            while head is not None and head.status == 100:
                writer.write(head.raw)
                head = await read_head(answers)
            if head is None:
                raise ConnectionResetError("the storage hung up")
            self._answers[head.status] += 1
            if head.status >= 500:
                self._failed.append(f"{request.method} {request.blob}: {head.status}")
            is_lost = isinstance(verdict, Trap) and verdict.after and not await verdict.hold(request)
            if isinstance(verdict, Answered) or is_lost:
                _reset(writer)
                return False
            await _answer(request, head, answers, writer)
            return body.done() and "close" not in head.headers.get("connection", "")
        finally:
            body.cancel()
            with suppress(OSError, asyncio.CancelledError, asyncio.IncompleteReadError):
                await body
            storage.close()


async def _answer(request: Request, head: Head, answers: StreamReader, writer: StreamWriter) -> None:
    writer.write(head.raw)
    if request.method != "HEAD" and head.status not in (204, 304):
        await copy_body(head, answers, writer, until_end=True)
    await writer.drain()


def _reset(writer: StreamWriter) -> None:
    """Ends the connection by RST, so that the other side does not take it for an end."""
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def _end_with(parent: int) -> None:
    """A parent that is killed leaves nobody to stop this process."""
    while os.getppid() == parent:
        time.sleep(1)
    os._exit(1)

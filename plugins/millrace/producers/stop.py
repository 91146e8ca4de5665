"""Ctrl-C and SIGTERM as a wish rather than an exception, so that the summary stays exact."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Stop:
    """`requested` after the first signal: send nothing more and wait. `hurried` after the second: do not wait."""

    requested = False
    hurried = False

    def ask(self) -> None:
        self.hurried = self.requested
        self.requested = True


@contextmanager
def stop_on_signals() -> Iterator[Stop]:
    """A `Stop` that SIGINT and SIGTERM ask. In the main thread only; the old handlers come back at the end."""
    stop = Stop()

    def ask(number: int, frame: FrameType | None) -> None:
        stop.ask()

    before = {number: signal.signal(number, ask) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

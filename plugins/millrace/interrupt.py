"""Ending a command politely, however it is asked to."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interruptible", "uninterruptible"]

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


@contextmanager
def interruptible() -> Iterator[None]:
    """A polite kill and a closed terminal raise KeyboardInterrupt, as Ctrl-C does; so does Ctrl-C where it was ignored.

    For the main thread only.
    """

    def interrupt(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _handling(interrupt):
        yield


@contextmanager
def uninterruptible(say: Callable[[], object]) -> Iterator[None]:
    """What is within is seen through: whoever asks to end hears what `say` says."""

    def wait(number: int, frame: FrameType | None) -> None:
        say()

    with _handling(wait):
        yield


@contextmanager
def _handling(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {number: signal.signal(number, handler) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, old in before.items():
            signal.signal(number, old)

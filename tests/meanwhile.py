"""Something that goes on while a test looks at what it does to others."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

__all__ = ["meanwhile"]


@contextmanager
def meanwhile(act: Callable[[int], object], pause_s: float) -> Iterator[None]:
    """Acts again and again, with a number that counts from 0, and pauses before each; for the block."""
    over = threading.Event()

    def go_on() -> None:
        number = 0
        while not over.wait(pause_s):
            act(number)
            number += 1

    thread = threading.Thread(target=go_on)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()

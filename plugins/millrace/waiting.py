"""Waiting for something that says nothing when it happens."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta

__all__ = ["until"]


def until(condition: Callable[[], bool], timeout: timedelta, poll: timedelta = timedelta(milliseconds=500)) -> bool:
    """Return True as soon as `condition()`, which is asked every `poll`; False after `timeout`."""
    deadline = time.monotonic() + timeout.total_seconds()
    while not condition():
        if time.monotonic() > deadline:
            return False
        time.sleep(poll.total_seconds())
    return True

"""Waiting for conditions, each with a deadline."""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import timedelta
from typing import TypeVar

__all__ = ["PATIENCE", "await_true", "quietly"]

PATIENCE = timedelta(minutes=10)
"""For anything that a Spark driver must start for: a machine of two cores that others use too takes its time."""

T = TypeVar("T")


def await_true(what: str, condition: Callable[[], T | None], timeout: timedelta = PATIENCE, poll_s: float = 0.25) -> T:
    """The condition's value as soon as it is true; fails after the timeout, saying what was awaited."""
    deadline = time.monotonic() + timeout.total_seconds()
    while not (value := condition()):
        assert time.monotonic() < deadline, f"after {timeout}: {what}"
        time.sleep(poll_s)
    return value


def quietly(ask: Callable[[], T]) -> T | None:
    """The answer, or None where what is asked does not answer: it may be down on purpose."""
    try:
        return ask()
    except Exception:  # noqa: BLE001 - whatever a client of a storage that is down raises
        return None

"""When a record is due: event time against wall time."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

from millrace.producers.settings import InvalidSettingsError

NEVER_WAIT: Final = 1 << 62


class Pace:
    """Maps Kafka timestamps to wall time, beginning at the first record.

    `speed` is seconds of event time per second of wall time: 1 is as it happened, 60 a minute in a second, and
    None as fast as possible. A record older than those before it is due at once.
    """

    def __init__(self, speed: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        if speed is not None and not 0 < speed < float("inf"):
            raise InvalidSettingsError(f"speed is {speed}; it is above 0; use 1 for real time or max for no waiting")
        self._speed = speed
        self._clock = clock
        self._started = 0.0
        self._origin: int | None = None

    def horizon(self, timestamp: int) -> int:
        """The latest timestamp (ms) that is due now; `timestamp` sets the origin when it is the first."""
        if self._speed is None:
            return NEVER_WAIT
        if self._origin is None:
            self._origin, self._started = timestamp, self._clock()
        return self._origin + int((self._clock() - self._started) * 1000 * self._speed)

    def wait_s(self, timestamp: int, horizon: int) -> float:
        """Seconds until `timestamp` is due, 0 or more."""
        return max(0, timestamp - horizon) / 1000 / self._speed if self._speed else 0.0

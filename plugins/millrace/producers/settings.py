"""What artificial stock prices should look like: checked when it is written down, so the generator need not check."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from fractions import Fraction

from jobs.errors import UsageError
from millrace.producers.garbage import MAKERS

SYMBOLS = ("AAPL", "AMD", "AMZN", "GOOG", "IBM", "INTC", "KO", "MSFT", "NFLX", "TSLA")
"""Chosen so that Kafka's default partitioner spreads them evenly over three partitions: 3, 4 and 3."""

MAX_RATE = 100_000


class InvalidSettingsError(UsageError):
    """A setting of the generator or of the producer is out of its bounds."""


@dataclass(frozen=True)
class Settings:
    """How to make artificial ticks.

    One *slot* follows the other at `rate` per second of event time, from `start` on, and goes to the symbols in
    turn. Each slot holds one record: a tick on time, or, with these probabilities,

    - `late`: a tick whose event time lies up to `max_delay` (0 excluded, `max_delay` included) before its slot;
    - `disorder`: a tick that is sent 1 to `max_distance` records after its turn;
    - `garbage`: a record that cannot be decoded, of a kind drawn from `garbage_kinds`.

    `duplicates` is the probability that a readable tick is sent once more, 1 to `max_distance` records later.
    `count` limits all records, duplicates included; `duration` limits the slots. Without both there is no end.
    """

    start: datetime
    symbols: tuple[str, ...] = SYMBOLS
    rate: float | None = None
    """Slots per second, over all symbols. Default: each symbol once every 10 seconds."""
    seed: int = 0
    count: int | None = None
    duration: timedelta | None = None
    late: float = 0.0
    max_delay: timedelta = timedelta(minutes=5)
    disorder: float = 0.0
    max_distance: int = 100
    duplicates: float = 0.0
    garbage: float = 0.0
    garbage_kinds: tuple[str, ...] = field(default=tuple(MAKERS))

    def __post_init__(self) -> None:
        _check_start(self.start)
        _check_symbols(self.symbols)
        if self.rate is not None and not (math.isfinite(self.rate) and 0 < self.rate <= MAX_RATE):
            raise InvalidSettingsError(
                f"rate is {self.rate}; it is above 0 and at most {MAX_RATE} events/s; use 1 or 1000"
            )
        _check_fractions(self)
        _check_limits(self)
        if unknown := [kind for kind in self.garbage_kinds if kind not in MAKERS]:
            raise InvalidSettingsError(
                f"garbage kind is {unknown[0]!r}; known are {', '.join(MAKERS)}; choose among them"
            )
        if self.garbage and not self.garbage_kinds:
            raise InvalidSettingsError(
                f"garbage is {self.garbage} but no kind is chosen; choose among {', '.join(MAKERS)}"
            )

    @property
    def slots_per_second(self) -> Fraction:
        """Exactly, so that the millionth slot is where it should be."""
        return Fraction(len(self.symbols), 10) if self.rate is None else Fraction(str(self.rate))


def _check_start(start: datetime) -> None:
    if start.tzinfo is None:
        raise InvalidSettingsError(
            f"start is {start.isoformat()} without a zone; write one, such as {start.isoformat()}Z"
        )
    if not 1970 <= start.astimezone(UTC).year < 9999:
        raise InvalidSettingsError(f"start is {start.isoformat()}; Kafka's time begins in 1970; use a later year")


def _check_symbols(symbols: tuple[str, ...]) -> None:
    if not symbols:
        raise InvalidSettingsError("symbols is empty; at least one is needed; write for example AAPL")
    for symbol in symbols:
        if not symbol.isascii() or not symbol.replace(".", "").replace("-", "").isalnum():
            raise InvalidSettingsError(
                f"symbol is {symbol!r}; letters, digits, '.' and '-' make a symbol; write e.g. BRK.B"
            )
    if len(set(symbols)) < len(symbols):
        raise InvalidSettingsError(f"symbols is {','.join(symbols)}; each may occur once; remove the repetition")


def _check_fractions(settings: Settings) -> None:
    for name in ("late", "disorder", "duplicates", "garbage"):
        value = getattr(settings, name)
        if not 0 <= value <= 1:
            raise InvalidSettingsError(f"{name} is {value}; it is a fraction from 0 to 1; one in a hundred is 0.01")
    total = settings.late + settings.disorder + settings.garbage
    if total > 1:
        raise InvalidSettingsError(
            f"late + disorder + garbage is {total}; a slot is one of them, so at most 1; lower one"
        )


def _check_limits(settings: Settings) -> None:
    if settings.count is not None and settings.count < 0:
        raise InvalidSettingsError(f"count is {settings.count}; it cannot be negative; leave it out for no limit")
    for name in ("duration", "max_delay"):
        value = getattr(settings, name)
        if value is not None and value < timedelta(0):
            raise InvalidSettingsError(f"{name} is {value}; it cannot be negative; write seconds, such as 60")
    if settings.late and settings.max_delay < timedelta(milliseconds=1):
        raise InvalidSettingsError(f"max_delay is {settings.max_delay} while late is {settings.late}; use 1 ms or more")
    if settings.max_distance < 1:
        raise InvalidSettingsError(f"max_distance is {settings.max_distance}; a record moves by 1 or more; use 100")

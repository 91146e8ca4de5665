"""Durations, instants and pairs as people write them on a command line."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta

from millrace.producers.settings import InvalidSettingsError

_SECONDS = {"ms": 0.001, "s": 1, "m": 60, "h": 3600, "d": 86_400}
_DURATION = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")


def parse_duration(name: str, text: str) -> timedelta:
    """`90s`, `1.5h`, `3d`, `500ms`."""
    match = _DURATION.fullmatch(text.strip())
    if match is None:
        raise InvalidSettingsError(
            f"{name} is {text!r}; a number and a unit (ms, s, m, h, d) are needed; write 90s or 3d"
        )
    try:
        return timedelta(seconds=float(match[1]) * _SECONDS[match[2]])
    except OverflowError:
        raise InvalidSettingsError(f"{name} is {text!r}; it is too long; write fewer days") from None


def parse_start(text: str) -> datetime:
    """ISO 8601; `Settings` refuses it when it has no zone."""
    try:
        return datetime.fromisoformat(text.strip())
    except ValueError:
        raise InvalidSettingsError(f"start is {text!r}; ISO 8601 is needed; write 2026-11-20T00:00:00Z") from None


def parse_speed(text: str) -> float | None:
    """A number, or `max` for as fast as possible (None)."""
    if text == "max":
        return None
    try:
        return float(text)
    except ValueError:
        raise InvalidSettingsError(f"speed is {text!r}; a number or max is needed; write 1 for real time") from None


def parse_pairs(name: str, pairs: Iterable[str]) -> Mapping[str, str]:
    """`price=close` and the like, each left side once."""
    found: dict[str, str] = {}
    for pair in pairs:
        left, equals, right = pair.partition("=")
        if not (left and equals and right):
            raise InvalidSettingsError(f"{name} is {pair!r}; FIELD=TEXT is needed; write for example price=close")
        if left in found:
            raise InvalidSettingsError(f"{name} names {left!r} twice; each field once; remove one")
        found[left] = right
    return found


def parse_list(text: str) -> tuple[str, ...]:
    """Words with commas between them."""
    return tuple(word.strip() for word in text.split(",") if word.strip())

"""Records that no decoder can read: one maker for each way in which a producer can be wrong."""

from __future__ import annotations

from collections.abc import Callable

from millrace.producers.tick import encode, iso

HUGE_BYTES = 1_000_000
"""Below the broker's default `message.max.bytes` (1,048,588 with the batch's own overhead)."""

Maker = Callable[[str, int], bytes | None]


def _not_json(symbol: str, time: int) -> bytes:
    return f"{symbol};{iso(time)};not json".encode()


def _wrong_types(symbol: str, time: int) -> bytes:
    return f'{{"symbol": "{symbol}", "event_time": "{iso(time)}", "price": "cheap", "volume": [1, 2]}}'.encode()


def _missing_time(symbol: str, time: int) -> bytes:
    return f'{{"symbol": "{symbol}", "price": 1.0000, "volume": 1}}'.encode()


def _absurd_time(symbol: str, time: int) -> bytes:
    year = "1900" if time.bit_count() % 2 else "9999"
    return f'{{"symbol": "{symbol}", "event_time": "{year}-06-15T00:00:00Z", "price": 1.0000, "volume": 1}}'.encode()


def _null_value(symbol: str, time: int) -> None:
    return None


def _huge_value(symbol: str, time: int) -> bytes:
    return b"x" * HUGE_BYTES


def _invalid_utf8(symbol: str, time: int) -> bytes:
    return encode("??", time, 10_000, 1).replace(b"??", b"\xff\xfe")


MAKERS: dict[str, Maker] = {
    "not_json": _not_json,
    "wrong_types": _wrong_types,
    "missing_time": _missing_time,
    "absurd_time": _absurd_time,
    "null_value": _null_value,
    "huge_value": _huge_value,
    "invalid_utf8": _invalid_utf8,
}
"""Kind -> (symbol, event time in microseconds) -> value. Deterministic, and none is readable as a tick."""

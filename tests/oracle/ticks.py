"""What a `stock_ticks` record means, in plain Python: written from the topic's declaration in words."""

from __future__ import annotations

import json
import re
from datetime import datetime, timedelta, timezone
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, NamedTuple, Optional

__all__ = ["Sent", "Tick", "read_tick"]

LONGEST_BYTES = 512 * 1024
_TIME = re.compile(r"(\d{4}-\d\d-\d\dT\d\d:\d\d)(:\d\d)?(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?([eE][+-]?\d{1,3})?")


class Sent(NamedTuple):
    """A record as Kafka holds it; `timestamp` is Kafka's, aware."""

    value: Optional[bytes]
    timestamp: datetime
    partition: int
    offset: int


class Tick(NamedTuple):
    symbol: str
    event_time: datetime
    price: Decimal
    volume: int
    partition: int
    offset: int


def read_tick(sent: Sent) -> Optional[Tick]:
    """The tick, or None for a dead letter."""
    fields = _object(sent.value)
    if fields is None:
        return None
    symbol, price = _symbol(fields.get("symbol")), _price(fields.get("price"))
    event_time, volume = _time(fields.get("event_time")), _volume(fields.get("volume"))
    if symbol is None or price is None or volume is None or event_time is None:
        return None
    if event_time > sent.timestamp + timedelta(days=1) or event_time < sent.timestamp - timedelta(days=400):
        return None
    return Tick(symbol, event_time, price, volume, sent.partition, sent.offset)


def _object(value: Optional[bytes]) -> Optional[dict]:
    if value is None or len(value) > LONGEST_BYTES:
        return None
    try:
        text = value.decode("utf-8").lstrip(" \t\r\n")
        found, _ = json.JSONDecoder(parse_float=Decimal, parse_constant=_refuse).raw_decode(text)
    except ValueError:  # also what bytes that are not UTF-8 raise
        return None
    return found if isinstance(found, dict) else None


def _refuse(constant: str) -> None:
    raise ValueError(constant)


def _symbol(found: Any) -> Optional[str]:
    if isinstance(found, bool):
        return str(found).lower()
    return str(found) if isinstance(found, (str, int)) else None


def _price(found: Any) -> Optional[Decimal]:
    if isinstance(found, str) and not _NUMBER.fullmatch(found):
        return None
    if isinstance(found, bool) or not isinstance(found, (str, int, Decimal)):
        return None
    try:
        price = Decimal(found).quantize(Decimal("0.0001"), ROUND_HALF_UP)
    except InvalidOperation:
        return None
    return price if abs(price) < 10**14 else None


def _volume(found: Any) -> Optional[int]:
    if isinstance(found, bool) or not isinstance(found, int):
        return None
    return found if -(2**63) <= found < 2**63 else None


def _time(found: Any) -> Optional[datetime]:
    match = _TIME.fullmatch(found) if isinstance(found, str) else None
    if match is None:
        return None
    minute, second, fraction, zone = match.groups()
    micros = ((fraction or "") + "000000")[:6]
    try:
        local = datetime.fromisoformat(f"{minute}{second or ':00'}.{micros}").replace(tzinfo=timezone.utc)
    except ValueError:
        return None
    if zone == "Z":
        return local
    ahead = timedelta(hours=int(zone[1:3]), minutes=int(zone[4:]))
    return local - ahead if zone[0] == "+" else local + ahead

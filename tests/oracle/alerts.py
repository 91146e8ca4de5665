"""The alerts of `stock_high_low` in plain Python: written from their declaration in words. Runs on Python 3.8 too."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Dict, Iterable, Tuple, Union

from tests.oracle.ticks import Sent, Tick, read_tick

__all__ = ["Alerts", "alert_of", "alerts_of", "read_alert"]

Alerts = Dict[Tuple[int, int], Dict[str, Any]]
"""By the partition and the offset of their events."""


def alerts_of(records: Iterable[Sent], topic: str) -> Alerts:
    """What the records of a topic should bring about."""
    ticks = [tick for tick in map(read_tick, records) if tick and tick.volume >= 990]
    return {(tick.partition, tick.offset): alert_of(tick, topic) for tick in ticks}


def alert_of(tick: Tick, topic: str) -> Dict[str, Any]:
    """What the alert about this tick says."""
    return {
        "symbol": tick.symbol,
        "event_time": tick.event_time.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "price": tick.price,
        "volume": tick.volume,
        "turnover": tick.price * tick.volume,
        "_topic": topic,
        "_partition": tick.partition,
        "_offset": tick.offset,
    }


def read_alert(value: Union[bytes, str]) -> Dict[str, Any]:
    """A record's value."""
    return dict(json.loads(value, parse_float=Decimal))

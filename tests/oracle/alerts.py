"""The alerts of `stock_high_low` in plain Python: written from their declaration in words. Runs on Python 3.8 too."""

from __future__ import annotations

import json
from decimal import Decimal
from typing import Any, Dict, Union

from tests.oracle.ticks import Tick

__all__ = ["alert_of", "read_alert"]


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

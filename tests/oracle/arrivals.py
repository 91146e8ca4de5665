"""Hypothesis strategies: ticks as a careless world sends them, in batches."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import List, NamedTuple, Optional

from hypothesis import strategies as st

__all__ = ["Arrival", "batches"]

# The batches run over midnight, where one interval ends and the next begins.
START = datetime(2026, 11, 20, 23, 57, tzinfo=timezone.utc)
LATEST = timedelta(minutes=2)
_TICK = '{{"symbol":{},"event_time":"{}","price":{},"volume":{}}}'
_GOOD = '{"symbol":"A","event_time":"2026-11-20T23:58:00Z","price":1,"volume":1}'

_SYMBOLS = ('"A"', '"B"', '"Zürich"', '""', "7", "true")
_PRICES = ("1", "189.34", "-0.00005", "0.00015", "1e2", '"12.5"', "99999999999999.9999", "0")
_VOLUMES = ("0", "100", "-3", "4000000000", "1000000000000000")
_SECONDS = (0, 0.000001, 1, 29.5, 59.999999, 17.123456)
_GARBAGE = (
    None,
    b"",
    b"null",
    b"[1]",
    b"\xff\xfe",
    b'{"symbol":"A\xc3","event_time":"2026-11-20T23:58:00Z","price":1,"volume":1}',
    b"x" * (512 * 1024 + 1),
    _GOOD[:-1].encode(),
    *(
        _GOOD.replace(old, new).encode()
        for old, new in (
            ('"price":1', '"price":"cheap"'),
            ('"price":1', '"price":1e99999999'),
            ('"price":1', '"price":null'),
            ('"volume":1', '"volume":1.0'),
            ('"volume":1', '"volume":9223372036854775808'),
            ('"event_time"', '"time"'),
            ("2026-11-20T23:58:00Z", "2026-11-20T23:58:00"),
            ("2026-11-20T23:58:00Z", "2031-11-20T23:58:00Z"),
            ("2026-11-20T23:58:00Z", "1970-01-01T00:00:00Z"),
            ("2026-11-20T23:58:00Z", "2026-02-30T23:58:00Z"),
        )
    ),
)


class Arrival(NamedTuple):
    """A record on its way to a partition; `timestamp` is what its producer says to Kafka."""

    value: Optional[bytes]
    timestamp: datetime
    partition: int


@st.composite
def batches(draw: st.DrawFn, count: int = 3, size: int = 40) -> List[List[Arrival]]:
    """Batches of shuffled ticks, none later than the watermark allows, with duplicates and garbage among them."""
    clock = START
    found = []
    for _ in range(count):
        batch: List[Arrival] = []
        for _ in range(draw(st.integers(size // 3, size))):
            clock += timedelta(seconds=draw(st.integers(0, 12)))
            batch.append(Arrival(draw(_value(clock)), clock, draw(st.integers(0, 2))))
            if draw(st.integers(0, 9)) == 0:
                batch.append(batch[-1]._replace(partition=draw(st.integers(0, 2))))
        found.append(draw(st.permutations(batch)))
    return found


@st.composite
def _value(draw: st.DrawFn, clock: datetime) -> Optional[bytes]:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        return draw(st.one_of(st.sampled_from(_GARBAGE), st.binary(max_size=20)))
    earliest = clock - LATEST
    event_time = earliest + timedelta(seconds=draw(st.integers(0, 120)))
    if kind < 5:  # the edges of windows
        edge = event_time.replace(second=0, microsecond=0) + timedelta(seconds=draw(st.sampled_from(_SECONDS)))
        event_time = max(earliest, min(edge, clock))
    text = _TICK.format(
        draw(st.sampled_from(_SYMBOLS)),
        draw(_written(event_time)),
        draw(st.sampled_from(_PRICES)),
        draw(st.sampled_from(_VOLUMES)),
    )
    return text.encode()


def _written(time: datetime) -> st.SearchStrategy[str]:
    """One moment in several notations."""
    ahead = timezone(timedelta(hours=5, minutes=30))
    micros = f"{time:%Y-%m-%dT%H:%M:%S.%f}"
    return st.sampled_from([f"{micros}Z", f"{micros}999+00:00", time.astimezone(ahead).isoformat()])

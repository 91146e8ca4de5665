"""`volumes` and `bursts` of tests.parity.windowed in plain Python, on all events or as a stream with a watermark."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Dict, Iterable, List, NamedTuple, Sequence, Set, Tuple

from tests.oracle.ticks import Tick

__all__ = ["StreamedVolumes", "bursts", "streamed_bursts", "streamed_volumes", "volumes"]

SLIDE, LENGTH, GAP, DELAY = (timedelta(minutes=minutes) for minutes in (2, 10, 5, 2))

Key = Tuple[str, datetime]
# End of the window or session, volume, last price as text, number of ticks.
Row = Tuple[datetime, int, str, int]


class StreamedVolumes(NamedTuple):
    """`dropped`: by start of the window, which ticks (partition, offset) it lacks."""

    rows: Dict[Key, Row]
    dropped: Dict[datetime, Set[Tuple[int, int]]]


def volumes(ticks: Iterable[Tick]) -> Dict[Key, Row]:
    """By symbol and start of the window."""
    return streamed_volumes([list(ticks)]).rows


def streamed_volumes(batches: Sequence[Sequence[Tick]]) -> StreamedVolumes:
    """What a stream makes of one batch after the other: a tick is dropped from windows that the watermark closed."""
    windows: Dict[Key, List[Tick]] = {}
    dropped: Dict[datetime, Set[Tuple[int, int]]] = {}
    watermark = datetime.min.replace(tzinfo=timezone.utc)
    for batch in batches:
        for tick in batch:
            for start in _starts(tick.event_time):
                if start + LENGTH <= watermark:
                    dropped.setdefault(start, set()).add((tick.partition, tick.offset))
                else:
                    windows.setdefault((tick.symbol, start), []).append(tick)
        watermark = max([watermark, *(_millis(tick.event_time) - DELAY for tick in batch)])
    return StreamedVolumes({key: _row(key[1] + LENGTH, found) for key, found in windows.items()}, dropped)


def bursts(ticks: Iterable[Tick]) -> Dict[Key, Row]:
    """By symbol and start of the session."""
    closed, state = _closed_and_open([list(ticks)])
    return {**closed, **state}


def streamed_bursts(batches: Sequence[Sequence[Tick]]) -> Dict[Key, Row]:
    """The sessions that a stream has closed after these batches."""
    return _closed_and_open(batches)[0]


def _closed_and_open(batches: Sequence[Sequence[Tick]]) -> Tuple[Dict[Key, Row], Dict[Key, Row]]:
    closed: List[List[Tick]] = []
    state: List[List[Tick]] = []
    watermark = datetime.min.replace(tzinfo=timezone.utc)
    for batch in batches:
        for tick in batch:
            if tick.event_time + GAP > watermark:
                state = _joined(state, tick)
        watermark = max([watermark, *(_millis(tick.event_time) - DELAY for tick in batch)])
        closed += [session for session in state if _end(session) <= watermark]
        state = [session for session in state if _end(session) > watermark]
    both = ({(s[0].symbol, min(t.event_time for t in s)): _row(_end(s), s) for s in found} for found in (closed, state))
    return next(both), next(both)


def _joined(sessions: List[List[Tick]], tick: Tick) -> List[List[Tick]]:
    """One more tick, and all that it brings together."""
    near = [s for s in sessions if s[0].symbol == tick.symbol and any(_touch(tick, other) for other in s)]
    return [*(s for s in sessions if s not in near), [tick, *(other for s in near for other in s)]]


def _touch(one: Tick, other: Tick) -> bool:
    return abs(one.event_time - other.event_time) <= GAP


def _end(session: List[Tick]) -> datetime:
    return max(tick.event_time for tick in session) + GAP


def _starts(time: datetime) -> List[datetime]:
    hour = time.replace(minute=0, second=0, microsecond=0)
    near = [hour + number * SLIDE for number in range(-5, 30)]
    return [start for start in near if start <= time < start + LENGTH]


def _row(end: datetime, ticks: List[Tick]) -> Row:
    last = max(ticks, key=lambda tick: (tick.event_time, tick.partition, tick.offset))
    return end, sum(tick.volume for tick in ticks), f"{last.price:.4f}", len(ticks)


def _millis(time: datetime) -> datetime:
    """A watermark is in whole milliseconds, cut."""
    return time.replace(microsecond=time.microsecond // 1000 * 1000)

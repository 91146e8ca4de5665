"""The sessions that Spark makes of one group's events on a stream: which were merged depends on what was closed when.

A session is emitted and forgotten once the watermark has passed its end. An event that would have joined it, and is not
late for the session that it makes alone, then begins another one. No Spark import here.
"""

from __future__ import annotations

from itertools import groupby
from typing import Iterable, List, NamedTuple, Optional, Tuple

__all__ = ["Counted", "Session", "apart", "speed_sessions"]


class Counted(NamedTuple):
    """An event that the speed layer counted. `time`, and `closed`, the watermark by which sessions were closed when
    its micro-batch began, in one unit since one moment."""

    batch: int
    closed: Optional[int]
    time: int
    partition: int
    offset: int


class Session(NamedTuple):
    """`[start, end)`, where `end` is the last event's time plus the gap; it takes events at its end too."""

    start: int
    end: int
    events: List[Counted]
    is_open: bool = False


def speed_sessions(events: Iterable[Counted], gap: int, closed: Optional[int]) -> List[Session]:
    """All sessions of the group, by start. `closed`: the watermark by which sessions were closed in the end."""
    done: List[Session] = []
    state: List[Session] = []
    for (_, watermark), batch in groupby(sorted(events, key=_by_batch), key=_by_batch):
        ended, state = _split(state, watermark)
        done += ended
        alone = [Session(event.time, event.time + gap, [event]) for event in batch]
        state = _merged([*state, *alone])
    ended, state = _split(state, closed)
    return sorted([*done, *ended, *(session._replace(is_open=True) for session in state)])


def apart(sessions: Iterable[Session]) -> List[Tuple[int, Session]]:
    """Numbers sessions from 0 so that no two of a number touch: of each number alone, a batch makes the same ones."""
    ends: List[int] = []
    found = []
    for session in sorted(sessions):
        number = next((number for number, end in enumerate(ends) if end < session.start), len(ends))
        ends[number : number + 1] = [session.end]
        found.append((number, session))
    return found


def _by_batch(event: Counted) -> Tuple[int, int]:
    return event.batch, _EVER if event.closed is None else event.closed


_EVER = -(2**63)


def _split(sessions: List[Session], watermark: Optional[int]) -> Tuple[List[Session], List[Session]]:
    """Those that had ended by the watermark, and the others."""
    if watermark is None:
        return [], sessions
    return [each for each in sessions if each.end <= watermark], [each for each in sessions if each.end > watermark]


def _merged(sessions: List[Session]) -> List[Session]:
    merged: List[Session] = []
    for session in sorted(sessions):
        if merged and session.start <= merged[-1].end:
            before = merged[-1]
            before.events.extend(session.events)
            merged[-1] = before._replace(end=max(before.end, session.end))
        else:
            merged.append(session)
    return merged

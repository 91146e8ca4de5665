"""What the speed layer did with each event of one group's sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from jobs.interval import EPOCH
from jobs.journal import Reads
from jobs.speed_sessions import Counted, Session, speed_sessions
from jobs.verdicts import NOT_YET_CLOSED, verdict

__all__ = ["ELSEWHERE", "session_verdicts"]

ELSEWHERE = "in another session"
_MICROSECOND = timedelta(microseconds=1)

Place = tuple[int, int]


def session_verdicts(
    rows: Sequence[Mapping[str, Any]], event_time: str, gap: timedelta, reads: Reads, start: datetime
) -> dict[Place, str | None]:
    """By partition and offset: why the speed layer's session that begins at `start` lacks the event; None: it has it.

    `rows`: all of the group's raw records near it. The same rule as `jobs.derivation` has, for one group.
    """
    found: dict[Place, str | None] = {}
    counted = []
    for row in rows:
        partition, offset, time = row["partition"], row["offset"], row["event"][event_time]
        read = reads.find(partition, offset)
        lacks = verdict(reads, read, partition, offset, time + gap, row["redecoded_at"] is not None)
        found[partition, offset] = lacks
        if read is not None and lacks is None:
            counted.append(Counted(read.batch_id, _us(read.closed_watermark), _us(time) or 0, partition, offset))
    for session in speed_sessions(counted, gap // _MICROSECOND, _us(reads.closed_watermark)):
        found |= {(event.partition, event.offset): _of(session, start) for event in session.events}
    return found


def _of(session: Session, start: datetime) -> str | None:
    if session.is_open:
        return NOT_YET_CLOSED
    return None if session.start == _us(start) else ELSEWHERE


def _us(moment: datetime | None) -> int | None:
    return None if moment is None else (moment - EPOCH) // _MICROSECOND

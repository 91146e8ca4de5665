"""Why an answer of the speed layer lacks an event: the causes that parity knows. No Spark import here."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from typing import Optional

from jobs.journal import Read, Reads

__all__ = [
    "ACCEPTED_LOSS",
    "BEFORE_STREAM",
    "LATE",
    "NOT_YET_READ",
    "OTHER_VERSION",
    "REDECODED",
    "UNEXPLAINED",
    "verdict",
]

LATE = "late"
BEFORE_STREAM = "before the stream started"
OTHER_VERSION = "other code version"
REDECODED = "redecoded"
NOT_YET_READ = "not yet read"
ACCEPTED_LOSS = "accepted loss"
UNEXPLAINED = "unexplained"

_EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def verdict(
    reads: Reads,
    read: Optional[Read],
    partition: int,
    offset: int,
    event_time: datetime,
    window: timedelta,
    redecoded: bool,
) -> Optional[str]:
    """Why the speed layer's answer lacks one event; None where it counted it. `read` is who read its offset, if any.

    The same rule as `jobs.speed_reads.mark`, which does it for a whole interval in Spark.
    """
    if read is None and reads.is_skipped(partition, offset):
        return ACCEPTED_LOSS
    if read is None:
        return BEFORE_STREAM if offset < reads.began.get(partition, 0) else NOT_YET_READ
    if redecoded:
        return REDECODED
    window_end = _EPOCH + ((event_time - _EPOCH) // window + 1) * window
    return LATE if read.is_late(window_end) else None

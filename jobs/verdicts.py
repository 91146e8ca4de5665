"""Why an answer of the speed layer lacks an event: the causes that parity knows. No Spark import here."""

from __future__ import annotations

from datetime import datetime
from typing import Optional

from jobs.journal import Read, Reads

__all__ = [
    "ACCEPTED_LOSS",
    "BEFORE_STREAM",
    "LATE",
    "NOT_YET_CLOSED",
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
NOT_YET_CLOSED = "not yet closed"
UNEXPLAINED = "unexplained"


def verdict(
    reads: Reads,
    read: Optional[Read],
    partition: int,
    offset: int,
    window_end: datetime,
    redecoded: bool,
) -> Optional[str]:
    """Why the speed layer's answer for a window that ends then lacks one event; None where it counted it there.

    `read` is who read its offset, if any. An offset that nobody read although later ones were read is a hole, which
    nothing explains. The same rule as `jobs.speed_reads`, which does it for an interval in Spark.
    """
    if read is None and reads.is_skipped(partition, offset):
        return ACCEPTED_LOSS
    if read is None and offset < reads.began.get(partition, 0):
        return BEFORE_STREAM
    if read is None:
        return UNEXPLAINED if reads.is_passed(partition, offset) else NOT_YET_READ
    if redecoded:
        return REDECODED
    return LATE if read.is_late(window_end) else None

"""A record that is ready for Kafka, and the kinds of records there are."""

from __future__ import annotations

from typing import NamedTuple

TICK = "tick"
LATE = "late"
DISORDERED = "disordered"
DUPLICATE = "duplicate"
REPLAYED = "replayed"

Headers = tuple[tuple[str, bytes], ...]


class Record(NamedTuple):
    """What one Kafka record will hold.

    `timestamp` is the Kafka timestamp (CreateTime) in whole milliseconds since the epoch, never negative.
    `kind` is told to nobody on the wire: it is how a test knows what was sent.
    """

    key: bytes | None
    value: bytes | None
    timestamp: int
    headers: Headers = ()
    kind: str = TICK

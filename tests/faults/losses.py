"""Which days a loss touches, by decision 14: worked out from what Kafka held, and by no code of the product."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from jobs.topics import stock_ticks
from tests.end_to_end.topic_oracle import KafkaRecord

__all__ = ["touched_days"]

_DAY = timedelta(days=1)


def touched_days(held: Iterable[KafkaRecord], lost: Mapping[int, tuple[int, int]]) -> set[datetime]:
    """The starts of the days that may lack a record of these ranges of offsets `[start, end)`, by partition.

    A lost record arrived between its neighbours; it was on its way for `allowed_lateness` at most, and its event is at
    most `max_ahead` later than its own time. `held` must have a record before each range and one behind it.
    """
    times = {(record.partition, record.offset): record.timestamp for record in held}
    found: set[datetime] = set()
    for partition, (start, end) in lost.items():
        before = max(offset for p, offset in times if p == partition and offset < start)
        behind = min(offset for p, offset in times if p == partition and offset >= end)
        since = times[partition, before] - stock_ticks.allowed_lateness
        until = times[partition, behind] + stock_ticks.allowed_lateness + stock_ticks.max_ahead
        found.update(_days(since, until))
    return found


def _days(since: datetime, until: datetime) -> Iterator[datetime]:
    """That end at or after `since` and begin at or before `until`."""
    day = since.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    if day == since:
        day -= _DAY  # the one that ends then
    while day <= until:
        yield day
        day += _DAY

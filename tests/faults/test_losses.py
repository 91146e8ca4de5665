"""Which days a loss touches: those on whose edge it may lie too, and no other."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from tests.end_to_end.topic_oracle import KafkaRecord
from tests.faults.losses import touched_days

DAY = timedelta(days=1)
MONDAY = datetime(2026, 11, 16, tzinfo=UTC)
TUESDAY, WEDNESDAY = MONDAY + DAY, MONDAY + 2 * DAY


def held(*moments: datetime) -> list[KafkaRecord]:
    return [KafkaRecord(0, offset, moment, None, b"") for offset, moment in enumerate(moments)]


@pytest.mark.parametrize(
    ("before", "behind", "expected"),
    [
        # Events may be a day ahead of their records.
        (TUESDAY + 12 * timedelta(hours=1), TUESDAY + 13 * timedelta(hours=1), {TUESDAY, WEDNESDAY}),
        # Ten minutes after midnight a record of the day before may still be under way; a moment later it may not.
        (TUESDAY + timedelta(minutes=10), TUESDAY + timedelta(hours=1), {MONDAY, TUESDAY, WEDNESDAY}),
        (TUESDAY + timedelta(minutes=10, seconds=1), TUESDAY + timedelta(hours=1), {TUESDAY, WEDNESDAY}),
        # The last record may have been sent ten minutes later than its neighbour behind it says.
        (MONDAY + timedelta(hours=1), TUESDAY - timedelta(minutes=10), {MONDAY, TUESDAY, WEDNESDAY}),
        (MONDAY + timedelta(hours=1), TUESDAY - timedelta(minutes=10, seconds=1), {MONDAY, TUESDAY}),
    ],
)
def test_a_loss_touches_the_days_of_its_neighbours(before: datetime, behind: datetime, expected: set[datetime]) -> None:
    lost = before + (behind - before) / 2
    assert touched_days(held(before, lost, behind), {0: (1, 2)}) == expected

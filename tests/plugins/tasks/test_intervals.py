"""Which intervals a batch run covers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pendulum
import pytest

from jobs.errors import UsageError
from millrace.tasks.intervals import intervals_of_run

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
NOW = datetime(2026, 11, 21, 4, 30, tzinfo=UTC)


def night(day: int) -> tuple[datetime, datetime]:
    """As Airflow gives the data interval of the run of that day."""
    start = pendulum.datetime(2026, 11, day, 2)
    return start, start.add(days=1)


def covered(
    length: timedelta, data_interval: tuple[datetime, datetime] | None, by_hand: str | None = None
) -> list[str]:
    return [interval.id for interval in intervals_of_run(length, by_hand, data_interval, NOW)]


def test_the_nightly_run_of_a_day_covers_that_day() -> None:
    assert covered(DAY, night(19)) == ["20261119T000000Z"]


def test_nights_in_a_row_cover_every_hour_once() -> None:
    found = [hour for day in (17, 18, 19) for hour in covered(HOUR, night(day))]
    assert len(found) == len(set(found)) == 72
    assert (found[0], found[-1]) == ("20261117T020000Z", "20261120T010000Z")


def test_a_night_in_which_no_interval_ends_covers_none() -> None:
    week = timedelta(days=7)
    assert sum(len(covered(week, night(day))) for day in range(1, 15)) == 2


def test_an_interval_by_hand_is_the_only_one() -> None:
    assert covered(DAY, night(19), "2026-11-01") == ["20261101T000000Z"]


@pytest.mark.parametrize("by_hand", ["2026-11-01T05:00", "yesterday"])
def test_an_interval_by_hand_that_is_none_is_refused(by_hand: str) -> None:
    with pytest.raises(UsageError, match="interval"):
        covered(DAY, night(19), by_hand)


def test_a_run_without_a_data_interval_covers_the_last_complete_interval() -> None:
    assert covered(DAY, None) == ["20261120T000000Z"]
    assert covered(HOUR, None) == ["20261121T030000Z"]

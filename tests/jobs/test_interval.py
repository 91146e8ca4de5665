"""Intervals are cut in UTC, whole, without holes or overlaps."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import UsageError
from jobs.interval import Interval

pytestmark = pytest.mark.both_engines

DAY = timedelta(days=1)
HOUR = timedelta(hours=1)


def utc(*parts: int) -> datetime:
    return datetime(*parts, tzinfo=timezone.utc)


@pytest.mark.parametrize(
    ("moment", "length", "start"),
    [
        (utc(2026, 11, 20), DAY, "20261120T000000Z"),
        (utc(2026, 11, 20, 23, 59, 59, 999999), DAY, "20261120T000000Z"),
        (utc(2028, 2, 29, 12), DAY, "20280229T000000Z"),
        (utc(1969, 12, 31, 23, 59, 59, 999999), DAY, "19691231T000000Z"),
        (utc(1969, 12, 31, 23, 30), HOUR, "19691231T230000Z"),
        (utc(2026, 11, 20, 5, 59), timedelta(hours=6), "20261120T000000Z"),
        # Two days: counted from 1970-01-01, so 20,777 days later is the second day of an interval.
        (utc(1970, 1, 2), 2 * DAY, "19700101T000000Z"),
        (utc(2026, 11, 20), 2 * DAY, "20261119T000000Z"),
        # Half past five in the morning in India is midnight in UTC.
        (datetime(2026, 11, 20, 5, 29, tzinfo=timezone(timedelta(hours=5.5))), DAY, "20261119T000000Z"),
    ],
)
def test_a_moment_lies_in_one_interval(moment, length, start):
    interval = Interval.of(moment, length)
    assert interval.id == start
    assert interval.start <= moment < interval.end
    assert interval.end - interval.start == length


def test_the_end_belongs_to_the_following_interval():
    interval = Interval.of(utc(2028, 2, 28), DAY)
    assert interval.following() == Interval.of(interval.end, DAY)
    assert interval.following().id == "20280229T000000Z"


@given(
    st.datetimes(datetime(1900, 1, 1), datetime(2200, 1, 1)),
    st.sampled_from([timedelta(minutes=1), HOUR, timedelta(hours=8), DAY, 7 * DAY]),
)
def test_intervals_tile_time(moment, length):
    moment = moment.replace(tzinfo=timezone.utc)
    interval = Interval.of(moment, length)
    assert interval.start <= moment < interval.end
    assert Interval.of(interval.end - timedelta(microseconds=1), length) == interval
    assert Interval.parse(interval.id, length) == interval


@pytest.mark.parametrize(
    "text", ["20261120T000000Z", "2026-11-20", "2026-11-20T00:00:00Z", "2026-11-20T02:00:00+02:00"]
)
def test_an_interval_is_written_in_several_ways(text):
    assert Interval.parse(text, DAY) == Interval(utc(2026, 11, 20), utc(2026, 11, 21))


def test_a_time_inside_an_interval_is_refused_with_both_neighbours():
    with pytest.raises(UsageError) as refused:
        Interval.parse("2026-11-20T12:00:00Z", DAY)
    assert str(refused.value) == (
        "interval '2026-11-20T12:00:00Z' does not start an interval of 1 day, 0:00:00;"
        " use 20261120T000000Z or 20261121T000000Z"
    )


def test_what_is_no_time_is_refused_with_an_example():
    with pytest.raises(UsageError, match="interval 'yesterday' is not a time; write it as 2026-11-20 or"):
        Interval.parse("yesterday", DAY)


@pytest.mark.parametrize(
    ("after", "until", "ids"),
    [
        (utc(2026, 11, 19, 2), utc(2026, 11, 20, 2), ["20261119T000000Z"]),
        (utc(2026, 11, 19), utc(2026, 11, 20), ["20261119T000000Z"]),  # an end at `until` counts, one at `after` not
        (utc(2026, 11, 19), utc(2026, 11, 19, 23), []),
        (utc(2028, 2, 28, 2), utc(2028, 3, 1, 2), ["20280228T000000Z", "20280229T000000Z"]),
    ],
)
def test_a_scheduled_run_covers_what_ended_since_the_last(after, until, ids):
    assert [interval.id for interval in Interval.ended_within(after, until, DAY)] == ids

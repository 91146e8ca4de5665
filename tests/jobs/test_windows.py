"""Which windows an event is in, what a run must read for them, and which sessions a stream makes: by plain Python."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from jobs.errors import DeclarationError
from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.speed_sessions import Counted, apart, speed_sessions
from jobs.version import fingerprint
from jobs.windows import Sessions, Sliding

pytestmark = pytest.mark.both_engines

SECOND, MINUTE, HOUR, DAY = timedelta(seconds=1), timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
MIDNIGHT = datetime(2028, 2, 29, tzinfo=timezone.utc)
LEAP_DAY = Interval.of(MIDNIGHT, DAY)


def declared(window, **changes):
    return dataclasses.replace(stock_high_low, window=window, **changes)


@given(
    every=st.integers(1, 7),
    times=st.integers(1, 9),
    second=st.integers(-(10**5), 10**10),
    placed_by=st.sampled_from(["start", "end"]),
)
def test_an_event_is_in_every_window_around_it_and_a_run_reads_the_windows_of_its_rows(every, times, second, placed_by):
    windows = Sliding(times * every * SECOND, every * SECOND, placed_by=placed_by)
    event = datetime(1970, 1, 1, tzinfo=timezone.utc) + second * SECOND / 3
    found = list(windows.of_event(event))
    multiples = [(second // 3 // every + number) * every for number in range(-times - 2, 3)]
    spans = [(EPOCH + start * SECOND, EPOCH + (start + times * every) * SECOND) for start in multiples]
    assert found == [span for span in spans if span[0] <= event < span[1]]
    assert len(found) == times
    pipeline = declared(windows, row_time="window_start", interval=HOUR) if 3600 % every == 0 else None
    for start, end in found if pipeline else ():
        row_time = windows.row_time(start)
        assert row_time == (start if placed_by == "start" else end)
        assert windows.of_row(row_time) == (start, end)
        reads = pipeline.reads(Interval.of(row_time, HOUR))
        assert reads.start <= start
        assert end <= reads.end


EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)


def test_what_is_read_is_no_more_than_the_rows_of_an_interval_are_made_of():
    by_start = declared(Sliding(HOUR, 5 * MINUTE))
    by_end = declared(Sliding(HOUR, 5 * MINUTE, placed_by="end"))
    sessions = declared(Sessions(MINUTE, ("symbol",), 3 * HOUR))
    following = LEAP_DAY.end
    assert stock_high_low.reads(LEAP_DAY) == LEAP_DAY
    assert by_start.reads(LEAP_DAY) == Interval(MIDNIGHT, following + 55 * MINUTE)
    assert by_end.reads(LEAP_DAY) == Interval(MIDNIGHT - HOUR, following - 5 * MINUTE)
    assert sessions.reads(LEAP_DAY) == Interval(MIDNIGHT - MINUTE, following + 3 * HOUR)
    assert [p.output_mode for p in (stock_high_low, by_start, sessions)] == ["update", "update", "append"]


@pytest.mark.parametrize(
    ("declare", "complaint"),
    [
        (lambda: Sliding(HOUR, 7 * MINUTE), "sliding windows: every '0:07:00' does not divide the length 1:00:00"),
        (
            lambda: Sliding(HOUR, timedelta(0)),
            "sliding windows: every '0:00:00' is not a positive number of whole milli",
        ),
        (
            lambda: Sliding(HOUR, HOUR, "middle"),
            "sliding windows: placed_by 'middle' is not known; use one of start, end",
        ),
        (lambda: Sessions(HOUR, ("symbol",), MINUTE), "sessions: lookback '0:01:00' is shorter than the gap 1:00:00"),
        (lambda: Sessions(HOUR, "symbol", HOUR), "sessions: by 'symbol' is one text, not a tuple of names"),
        (
            lambda: declared(Sessions(HOUR, ("price",), HOUR)),
            "pipeline 'stock_high_low': window 'Sessions by price' is not a field of the topic and a column of the key",
        ),
        (
            lambda: declared(Sliding(HOUR, MINUTE), key=("symbol",)),
            "pipeline 'stock_high_low': key ('symbol',) lacks the row_time 'window_start'",
        ),
        (
            lambda: declared(Sliding(14 * HOUR, 7 * HOUR)),
            "pipeline 'stock_high_low': interval '1 day, 0:00:00' is not a whole number of 7:00:00 slides; use 21",
        ),
    ],
)
def test_a_declaration_refuses(declare, complaint):
    with pytest.raises(DeclarationError) as refused:
        declare()
    assert str(refused.value).startswith(complaint)


def test_a_window_may_be_longer_than_an_interval():
    assert declared(Sliding(7 * DAY, DAY)).reads(LEAP_DAY).end == LEAP_DAY.end + 6 * DAY


def event(batch, time, closed=None):
    return Counted(batch, closed, time, 0, time)


def sessions(events, closed=None, gap=10):
    return [(found.start, found.end, len(found.events), found.is_open) for found in speed_sessions(events, gap, closed)]


def test_an_event_that_touches_a_session_joins_it_and_may_join_two():
    assert sessions([event(0, 0), event(0, 10)], closed=20) == [(0, 20, 2, False)]
    assert sessions([event(0, 0), event(0, 11)], closed=20) == [(0, 10, 1, False), (11, 21, 1, True)]
    assert sessions([event(0, 0), event(0, 20), event(1, 10)]) == [(0, 30, 3, True)]


def test_a_session_that_was_closed_is_not_joined_and_its_successor_is_kept_apart():
    """As Spark 4.2 answered these very events, its watermark 5 behind."""
    found = speed_sessions(
        [event(0, 0), event(0, 10), event(0, 21), event(1, 37, 16), event(2, 26, 32), event(3, 60, 32)], 10, 55
    )
    assert [(s.start, s.end, len(s.events)) for s in found] == [
        (0, 20, 2),
        (21, 31, 1),
        (26, 36, 1),
        (37, 47, 1),
        (60, 70, 1),
    ]
    assert [s.is_open for s in found] == [False, False, False, False, True]
    assert [number for number, _ in apart(found)] == [0, 0, 1, 0, 0]


@given(times=st.lists(st.integers(0, 200), max_size=30), batches=st.integers(1, 4))
def test_while_nothing_is_closed_the_order_of_arrival_does_not_matter(times, batches):
    found = sessions([event(number % batches, time) for number, time in enumerate(times)])
    expected = []
    for time in sorted(times):
        if expected and time - expected[-1][-1] <= 10:
            expected[-1].append(time)
        else:
            expected.append([time])
    assert found == [(each[0], each[-1] + 10, len(each), True) for each in expected]


def test_what_is_declared_of_windows_is_part_of_the_version():
    windows = [MINUTE, Sliding(MINUTE, MINUTE), Sliding(MINUTE, 30 * SECOND), Sliding(MINUTE, 30 * SECOND, "end")]
    windows += [Sessions(MINUTE, ("symbol",), HOUR), Sessions(MINUTE, ("symbol",), 2 * HOUR)]
    assert len({fingerprint(declared(each)) for each in windows}) == len(windows)

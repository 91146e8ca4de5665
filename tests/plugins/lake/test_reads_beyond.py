"""What is proven and pending late of runs that read other events than the archive has of the interval: windows and
sessions that cross its edges, and what was decoded anew."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from jobs.windows import Sessions, Sliding
from millrace.environment import Environment
from millrace.lake.certificate import Claim
from millrace.lake.offsets import KafkaEnd
from millrace.lake.pending_late import pending_late
from millrace.lake.published import Publication
from tests.plugins.lake.raw_rows import archive, at, delete_data, local_environment, publication

MINUTE, HOUR, DAY = timedelta(minutes=1), timedelta(hours=1), timedelta(days=1)
BY_START = replace(stock_high_low, window=Sliding(HOUR, 10 * MINUTE))
BY_END = replace(stock_high_low, window=Sliding(HOUR, 10 * MINUTE, placed_by="end"))
SESSIONS = replace(stock_high_low, window=Sessions(20 * MINUTE, ("symbol",), 2 * HOUR))


@pytest.fixture
def environment_here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


def day(number: int) -> Interval:
    return Interval.of(at(f"2026-11-{number}"), DAY)


def ran(interval: Interval, rows_read: int, **rows_by_day: int) -> Publication:
    """A run's; `rows_by_day` is written `d18=…` for the 18th."""
    days = {f"2026-11-{name[1:]}": count for name, count in rows_by_day.items()}
    found = publication(interval, rows_read)
    return replace(found, result={**found.result, **({"rows_by_day": days} if days else {})})


@pytest.mark.parametrize(("pipeline", "beyond"), [(BY_START, 50 * MINUTE), (SESSIONS, 2 * HOUR), (BY_END, 0 * MINUTE)])
def test_an_interval_is_proven_once_all_that_its_rows_need_may_have_come(pipeline, beyond: timedelta) -> None:
    topic = replace(stock_ticks, allowed_lateness=HOUR)
    claim = Claim(local_environment(Path(tempfile.gettempdir())), topic, day(18), pipeline.reads(day(18)))
    due = at("2026-11-19") + beyond + HOUR
    assert claim.due == due
    early = KafkaEnd({0: 3}, due - timedelta(microseconds=1))
    (why,) = claim._unknown(early)
    assert ("that its rows need" in why) == bool(beyond)
    assert why.endswith(f"it is complete from {due:%Y-%m-%d %H:%M:%S} UTC on")
    assert list(claim._unknown(KafkaEnd({0: 3}, due))) == []


@pytest.mark.parametrize(
    ("pipeline", "late", "expected"),
    [
        (BY_START, "2026-11-19T00:49:59", (1, 1)),  # for the last windows of the 18th, and its own
        (BY_START, "2026-11-19T00:50", (0, 1)),
        (BY_START, "2026-11-18T23:59", (1, 0)),
        (BY_END, "2026-11-18T23:49", (1, 1)),
        (BY_END, "2026-11-18T23:50", (0, 1)),  # its windows end on the 19th
        (SESSIONS, "2026-11-18T23:40", (1, 1)),  # a tick of 00:00 would begin no session
        (SESSIONS, "2026-11-18T23:39:59", (1, 0)),
        (SESSIONS, "2026-11-19T01:59:59", (1, 1)),
        (SESSIONS, "2026-11-19T02:00", (0, 1)),
    ],
)
def test_an_event_is_pending_for_each_interval_whose_rows_it_may_change(
    environment_here: Environment, pipeline, late: str, expected: tuple[int, int]
) -> None:
    archive(environment_here, "2026-11-18T12:00", "2026-11-19T12:00")
    served = [publication(day(18), 1), publication(day(19), 1)]
    assert pending_late(environment_here, pipeline, served) == {day(18).id: 0, day(19).id: 0}
    archive(environment_here, late)
    found = pending_late(environment_here, pipeline, served)
    assert (found[day(18).id], found[day(19).id]) == expected


def test_nothing_is_read_of_days_that_have_no_more_rows_than_a_run_saw(environment_here: Environment) -> None:
    archive(environment_here, "2026-11-18T12:00", "2026-11-19T12:00", "2026-11-20T12:00")
    served = [ran(day(18), 1, d18=1, d19=1), ran(day(19), 1, d19=1, d20=1), ran(day(20), 1, d20=1)]
    archive(environment_here, "2026-11-20T00:30", "2026-11-20T05:00")
    delete_data(environment_here, ["2026-11-18"])
    assert pending_late(environment_here, BY_START, served) == {day(18).id: 0, day(19).id: 1, day(20).id: 2}
    delete_data(environment_here, ["2026-11-19"])
    with pytest.raises(Exception, match="2026-11-19"):
        pending_late(environment_here, BY_START, served)


MOMENTS = st.integers(0, 3 * 288).map(lambda number: datetime(2028, 2, 28, tzinfo=UTC) + number * 5 * MINUTE)


@given(
    before=st.lists(MOMENTS),
    after=st.lists(MOMENTS),
    chosen=st.sets(MOMENTS),
    length=st.sampled_from([HOUR, 8 * HOUR, DAY]),
    pipeline=st.sampled_from([BY_START, BY_END, SESSIONS]),
)
@settings(max_examples=25)
def test_any_events_and_intervals_give_what_plain_counting_gives(before, after, chosen, length, pipeline) -> None:
    pipeline = replace(pipeline, interval=length)

    def inside(interval: Interval, moments: list[datetime]) -> int:
        start, end = interval.start - pipeline.windows.before, interval.end + pipeline.windows.after
        return sum(start <= moment < end for moment in moments)

    def seen(interval: Interval) -> dict[str, int]:
        days: dict[date, int] = {}
        for moment in before:
            days[moment.date()] = days.get(moment.date(), 0) + 1
        return {each.isoformat(): count for each, count in days.items()}

    with tempfile.TemporaryDirectory() as folder:
        environment = local_environment(Path(folder))
        archive(environment, *before)
        archive(environment, *after)
        intervals = {Interval.of(moment, length) for moment in chosen}
        runs = [replace(publication(each, 0), result={"rows_read": inside(each, before)}) for each in intervals]
        served = [replace(run, result={**run.result, "rows_by_day": seen(run.interval)}) for run in runs]
        expected = {each.id: inside(each, after) for each in intervals}
        assert pending_late(environment, pipeline, served) == expected
        assert pending_late(environment, pipeline, runs) == expected


def of_version(found: Publication, reads: Interval, **certificate: object) -> Publication:
    """A run of a version whose code read that."""
    told = [reads.start.isoformat(), reads.end.isoformat()]
    return replace(found, result={**found.result, "reads": told}, certificate=certificate)


def test_what_is_pending_for_a_run_is_counted_by_the_windows_of_the_version_that_ran(
    environment_here: Environment,
) -> None:
    """Code with other windows is here, and is not served yet; or was, before a rollback."""
    archive(environment_here, "2026-11-18T00:30", "2026-11-18T12:00", "2026-11-19T00:20")
    tumbled = of_version(publication(day(18), 2), day(18))
    slid = of_version(publication(day(18), 3), BY_START.reads(day(18)))
    for pipeline in (stock_high_low, BY_START, BY_END, SESSIONS):
        assert pending_late(environment_here, pipeline, [tumbled]) == {day(18).id: 0}
        assert pending_late(environment_here, pipeline, [slid]) == {day(18).id: 0}
    archive(environment_here, "2026-11-19T00:10")
    assert pending_late(environment_here, BY_START, [tumbled]) == {day(18).id: 0}
    assert pending_late(environment_here, stock_high_low, [slid]) == {day(18).id: 1}


def test_two_runs_that_read_the_same_times_are_counted_each_for_itself(environment_here: Environment) -> None:
    archive(environment_here, "2026-11-18T12:00", "2026-11-18T13:00", "2026-11-18T14:00")
    older, newer = of_version(publication(day(18), 2), day(18)), of_version(publication(day(19), 3), day(18))
    assert pending_late(environment_here, stock_high_low, [older, newer]) == {day(18).id: 1, day(19).id: 0}


def test_a_run_of_another_topic_is_counted_in_that_topics_archive(environment_here: Environment) -> None:
    moved = replace(stock_high_low, topic=replace(stock_ticks, name="ticks_of_a_new_name"))
    archive(environment_here, "2026-11-18T12:00", "2026-11-18T13:00")
    served = of_version(publication(day(18), 1), day(18), topic="stock_ticks")
    assert pending_late(environment_here, moved, [served]) == {day(18).id: 1}


@pytest.mark.parametrize("rows_read", [0, 1, 3])
def test_what_a_run_decoded_otherwise_than_the_archive_is_not_pending(
    environment_here: Environment, rows_read: int
) -> None:
    archive(environment_here, "2026-11-19T08:00", "2026-11-19T09:00", None)
    of_run = ran(day(19), rows_read)
    said = replace(of_run, result={**of_run.result, "rows_archived": 2})
    assert pending_late(environment_here, stock_high_low, [said]) == {"20261119T000000Z": 0}
    archive(environment_here, "2026-11-19T10:00")
    assert pending_late(environment_here, stock_high_low, [said]) == {"20261119T000000Z": 1}

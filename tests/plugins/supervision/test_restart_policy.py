"""What follows from the end of a driver."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from millrace.platforms.protocol import JobState, JobStatus
from millrace.supervision.control import StopRequest
from millrace.supervision.restart_policy import GiveUp, Restart, RestartPolicy, Stopped, judge

POLICY = RestartPolicy()
LOG = ["Traceback (most recent call last):", "ValueError: no such column", "INFO bye"]
START = datetime(2026, 11, 20, tzinfo=UTC)


def ended(code: int | None, seconds: float = 20, state: JobState | None = None) -> JobStatus:
    state = state or (JobState.SUCCEEDED if code == 0 else JobState.FAILED)
    return JobStatus(state, START, START + timedelta(seconds=seconds), code)


def verdict(status: JobStatus, failures: int = 0, stop: StopRequest | None = None) -> Stopped | Restart | GiveUp:
    return judge("q", status, stop=stop, failures=failures, policy=POLICY, log=LOG)


def test_delays_double_from_5_seconds_to_5_minutes() -> None:
    delays = [RestartPolicy().delay(failures).total_seconds() for failures in range(1, 9)]
    assert delays == [5, 10, 20, 40, 80, 160, 300, 300]
    assert RestartPolicy().delay(10_000) == timedelta(minutes=5)


def test_quick_failures_in_a_row_lead_to_giving_up() -> None:
    failures, delays = 0, []
    while isinstance(end := verdict(ended(1), failures), Restart):
        failures, delays = end.failures, [*delays, end.delay.total_seconds()]
    assert delays == [5, 10, 20, 40]
    assert isinstance(end, GiveUp)
    for part in ("query q", "exit code 1", "after 20 s", "5 drivers in a row", "limit is 5", LOG[1], "clear this task"):
        assert part in end.why
    assert end.why.endswith("\n".join(LOG))


def test_a_driver_that_was_well_for_ten_minutes_starts_the_count_again() -> None:
    end = verdict(ended(1, seconds=600), failures=4)
    assert isinstance(end, Restart)
    assert (end.failures, end.delay) == (1, timedelta(seconds=5))
    assert isinstance(verdict(ended(1, seconds=599), failures=4), GiveUp)


def test_a_bad_declaration_is_not_tried_again() -> None:
    end = verdict(ended(2))
    assert isinstance(end, GiveUp)
    assert "correct the declaration" in end.why


def test_lost_offsets_are_not_tried_again_and_the_drivers_last_words_are_told() -> None:
    words = "millrace: archive: topic 't': Kafka no longer has what is to be read next: partition 0: offsets 3 to 5 (3)"
    end = judge("q", ended(4), stop=None, failures=0, policy=POLICY, log=["ERROR something of Spark", words])
    assert isinstance(end, GiveUp)
    assert words in end.why
    assert "nothing is skipped until somebody accepts the loss" in end.why


def test_a_held_lock_is_tried_again_and_named_at_last() -> None:
    assert isinstance(verdict(ended(3)), Restart)
    end = verdict(ended(3), failures=4)
    assert isinstance(end, GiveUp)
    assert "another driver runs this query" in end.why


@pytest.mark.parametrize(
    "status", [ended(0), ended(None, state=JobState.CANCELLED), ended(143, state=JobState.CANCELLED)]
)
def test_a_stop_that_a_person_asked_for_is_a_success(status: JobStatus) -> None:
    assert verdict(status, stop=StopRequest("*", "maintenance")) == Stopped("query q: stopped on request (maintenance)")


def test_a_stop_that_another_supervisor_asked_for_is_followed_by_a_start_at_once() -> None:
    end = verdict(ended(0), failures=3, stop=StopRequest("me", "cleared", by_supervisor=True))
    assert isinstance(end, Restart)
    assert (end.failures, end.delay) == (0, timedelta(0))


def test_a_failure_while_a_stop_was_asked_for_is_still_a_failure() -> None:
    assert isinstance(verdict(ended(1), stop=StopRequest("*", "")), Restart)


def test_an_end_that_nobody_asked_for_is_a_failure_even_with_exit_code_0() -> None:
    end = verdict(ended(0))
    assert isinstance(end, Restart)
    assert end.failures == 1
    assert "nobody asked" in end.why


def test_a_lost_driver_is_restarted() -> None:
    end = verdict(ended(None, state=JobState.LOST))
    assert isinstance(end, Restart)
    assert "was lost" in end.why

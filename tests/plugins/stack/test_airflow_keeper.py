"""What dies of Airflow is started again, ever later, and given up where that does not help; what was stopped is not."""

from __future__ import annotations

import os
import signal
from datetime import UTC, datetime, timedelta

import pytest

from millrace.cli.status import recent_restarts
from millrace.home import Home
from millrace.stack import process
from millrace.stack.airflow_keeper import AirflowKeeper
from millrace.stack.process_record import ProcessRecord, load_record
from millrace.stack.restarts import load_restarts
from millrace.supervision.restart_policy import RestartPolicy

NAMES = ("airflow-scheduler", "airflow-triggerer")
SECOND = timedelta(seconds=1)
POLICY = RestartPolicy(
    first_delay=10 * SECOND, max_delay=15 * SECOND, stable_after=timedelta(minutes=10), max_quick_failures=3
)


def start(home: Home, name: str) -> ProcessRecord:
    script = "echo sqlalchemy.orm.exc.StaleDataError: expected 1 row >&2; exec sleep 300"
    return process.start(home, name, ["/bin/sh", "-c", script])


def kill(home: Home, name: str) -> int:
    record = load_record(home, name)
    assert record is not None
    process.await_ready(home, [record], lambda: "StaleDataError" in process.log_file(home, name).read_text())
    os.kill(record.pid, signal.SIGKILL)
    os.waitpid(record.pid, 0)
    assert not process.is_running(home, name)
    return record.pid


@pytest.fixture
def keeper(home: Home) -> AirflowKeeper:
    for name in NAMES:
        start(home, name)
    return AirflowKeeper(home, NAMES, start, POLICY)


def test_what_died_is_started_again_after_a_while_and_the_rest_is_left_alone(home: Home, keeper: AirflowKeeper) -> None:
    untouched = load_record(home, NAMES[1])
    dead, now = kill(home, NAMES[0]), datetime.now(UTC)
    keeper.look(now)
    keeper.look(now + 9 * SECOND)
    assert not process.is_running(home, NAMES[0])
    keeper.look(now + 10 * SECOND)
    assert process.is_running(home, NAMES[0])
    record = load_record(home, NAMES[0])
    assert record is not None
    assert record.pid != dead
    assert load_record(home, NAMES[1]) == untouched


def test_status_tells_what_died_of_what_and_what_is_done(home: Home, keeper: AirflowKeeper) -> None:
    assert recent_restarts(home) == []
    kill(home, NAMES[0])
    keeper.look(datetime.now(UTC))
    (line,) = recent_restarts(home)
    assert "airflow-scheduler: ended by itself at " in line
    assert "StaleDataError: expected 1 row" in line
    assert line.endswith("it is started again")


def test_restarts_that_do_not_help_come_later_and_then_end(home: Home, keeper: AirflowKeeper) -> None:
    now = datetime.now(UTC)
    for delay in (10, 15):  # the second would be 20 s, were 15 not the most
        kill(home, NAMES[0])
        keeper.look(now)
        now += delay * SECOND
        keeper.look(now - SECOND)
        assert not process.is_running(home, NAMES[0])
        keeper.look(now)
        assert process.is_running(home, NAMES[0])
    kill(home, NAMES[0])
    for later in (0, 60, 3600):
        keeper.look(now + later * SECOND)
    assert not process.is_running(home, NAMES[0])
    (restart,) = load_restarts(home)
    assert (restart.failures, restart.due) == (3, None)
    assert "it is given up; correct the cause, then run `millrace up`" in restart.line()


def test_one_that_was_well_for_long_begins_without_failures(home: Home, keeper: AirflowKeeper) -> None:
    now = datetime.now(UTC)
    for _ in range(4):
        kill(home, NAMES[0])
        now += POLICY.stable_after  # as the keeper sees it: it ran for so long
        keeper.look(now)
        keeper.look(now + 10 * SECOND)
        assert process.is_running(home, NAMES[0])


def test_what_a_person_started_after_it_was_given_up_is_kept_again(home: Home, keeper: AirflowKeeper) -> None:
    now = datetime.now(UTC)
    for _ in range(POLICY.max_quick_failures):
        kill(home, NAMES[0])
        keeper.look(now)
        now += POLICY.max_delay
        keeper.look(now)
    assert load_restarts(home)[0].due is None
    start(home, NAMES[0])
    kill(home, NAMES[0])
    keeper.look(now)
    assert load_restarts(home)[0].due == now + POLICY.first_delay


def test_what_was_stopped_is_not_started(home: Home, keeper: AirflowKeeper) -> None:
    process.stop(home, NAMES[0])
    for later in (0, 60):
        keeper.look(datetime.now(UTC) + later * SECOND)
    assert load_record(home, NAMES[0]) is None
    assert load_restarts(home) == []

"""Which intervals a batch run takes up because late events reached them, and what its log says of it."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pendulum
import pytest
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.execution_time.context import set_current_context

from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.builders import batch, batch_layer
from millrace.environment import Environment
from millrace.tasks import repair
from millrace.tasks.intervals import RunRequest
from millrace.tasks.repair import choose_intervals
from tests.plugins.lake.raw_rows import archive, local_environment, publish_read

NOW = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)
NIGHT = (datetime(2026, 11, 20, 2, tzinfo=UTC), datetime(2026, 11, 21, 2, tzinfo=UTC))
WEEK = timedelta(days=7)
COVERED = "20261120T000000Z"


@dataclass(frozen=True)
class DagRun:
    run_type: DagRunType


class NoOtherRuns:
    dag_id = "stock_high_low__batch"

    def get_dr_count(self, *asked: Any, **more: Any) -> int:
        return 0


@pytest.fixture
def environment_here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


@pytest.fixture
def late(environment_here: Environment) -> Environment:
    """The days 10, 11 and 18 have pending late events; 12 and 19 have none; those between are published as empty."""
    days = {number: Interval.parse(f"2026-11-{number}", timedelta(days=1)) for number in range(10, 20)}
    archive(environment_here, *(days[number].start for number in (10, 11, 12, 18, 19)))
    for number, day in days.items():
        publish_read(environment_here, stock_high_low, day, int(number in (12, 19)))
    return environment_here


def request(run_type: str, by_hand: str | None = None, repair: bool = False, **changed: Any) -> RunRequest:
    return replace(RunRequest(run_type, by_hand, repair, NIGHT, NOW), **changed)


def chosen(environment: Environment, asked: RunRequest, within: timedelta = WEEK) -> list[str]:
    return choose_intervals(environment, stock_high_low, asked, within)


def test_the_nightly_run_covers_its_day_and_repairs_what_is_within_the_look_back(
    late: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert chosen(late, request("scheduled")) == ["20261118T000000Z", COVERED]
    assert "interval 20261118T000000Z: 1 pending late events, repaired" in caplog.text
    assert f"interval {COVERED}: covered by this run" in caplog.text


def test_what_is_older_than_the_look_back_is_a_warning_with_the_remedy(
    late: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    chosen(late, request("scheduled"))
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "20261110T000000Z (1 pending late events), 20261111T000000Z (1 pending late events)" in warning
    assert "`millrace repair stock_high_low --within DAYS`" in warning


@pytest.mark.parametrize(
    ("within", "repaired"),
    [
        (timedelta(days=2, hours=1), []),
        (timedelta(days=2, hours=2), ["20261118T000000Z"]),
        (timedelta(days=9, hours=2), ["20261111T000000Z", "20261118T000000Z"]),
        (timedelta(0), []),
    ],
)
def test_the_look_back_begins_at_the_end_of_the_data_interval(
    late: Environment, within: timedelta, repaired: list[str]
) -> None:
    """Day 18 ended 2 days and 2 hours before the end of the data interval, day 11 9 days and 2 hours before it."""
    assert chosen(late, request("scheduled"), within) == [*repaired, COVERED]


def test_an_interval_that_the_run_covers_is_not_run_twice(late: Environment) -> None:
    its_own = (NIGHT[0] - timedelta(days=2), NIGHT[1] - timedelta(days=2))
    found = chosen(late, request("scheduled", data_interval=its_own), timedelta(days=8))
    assert found == ["20261111T000000Z", "20261118T000000Z"]


def test_a_cleared_run_repairs_nothing_that_ended_after_its_own_time(late: Environment) -> None:
    earlier = (NIGHT[0] - timedelta(days=3), NIGHT[1] - timedelta(days=3))
    assert "20261118T000000Z" not in chosen(late, request("scheduled", data_interval=earlier))


@pytest.mark.parametrize("told_to", [False, True])
def test_a_backfill_covers_its_own_days_alone(late: Environment, told_to: bool) -> None:
    assert chosen(late, request("backfill", repair=told_to)) == [COVERED]


def test_a_run_by_hand_repairs_only_when_it_is_told_to_and_then_nothing_else(late: Environment) -> None:
    assert chosen(late, request("manual")) == [COVERED]
    assert chosen(late, request("manual", by_hand="2026-11-12")) == ["20261112T000000Z"]
    assert chosen(late, request("manual", repair=True)) == ["20261118T000000Z"]
    assert chosen(late, request("manual", repair=True, data_interval=None)) == ["20261118T000000Z"]


def test_a_run_by_hand_repairs_intervals_that_ended_after_the_last_night(environment_here: Environment) -> None:
    hourly = replace(stock_high_low, interval=timedelta(hours=1))
    hours = [Interval.parse(f"2026-11-21T{hour:02}:00", hourly.interval) for hour in (12, 13, 14)]
    archive(environment_here, *(each.start for each in hours))
    for each in hours:
        publish_read(environment_here, hourly, each, 0)
    found = choose_intervals(environment_here, hourly, request("manual", repair=True), WEEK)
    assert found == ["20261121T120000Z", "20261121T130000Z"]  # the hour of 14:00 goes on


def test_a_lake_on_which_nothing_is_published_yet_has_nothing_to_repair(environment_here: Environment) -> None:
    assert chosen(environment_here, request("scheduled")) == [COVERED]
    assert chosen(environment_here, request("manual", repair=True)) == []


def test_a_repaired_interval_is_not_repaired_again(late: Environment) -> None:
    publish_read(late, stock_high_low, Interval.parse("2026-11-18", timedelta(days=1)), 1)
    assert chosen(late, request("scheduled")) == [COVERED]


def test_more_repairs_than_a_run_can_map_over_are_left_to_the_next(
    late: Environment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(repair, "_MOST", 1)
    assert chosen(late, request("manual", repair=True), timedelta(days=30)) == ["20261110T000000Z"]
    assert "2 more intervals are to be repaired or were missed; the next run does" in caplog.text


def run_task(environment: Environment, monkeypatch: pytest.MonkeyPatch, run_type: DagRunType, **params: Any) -> Any:
    """What the DAG's own task returns in a run of this type."""
    monkeypatch.setattr(batch, "environment_for_task", lambda name: environment)
    task = batch_layer(stock_high_low, schedule="0 2 * * *").get_task("intervals")
    context: Any = {
        "dag_run": DagRun(run_type),
        "ti": NoOtherRuns(),
        "data_interval_start": pendulum.datetime(2026, 11, 20, 2),
        "data_interval_end": pendulum.datetime(2026, 11, 21, 2),
        "params": {"interval": None, "repair": False, **params},
    }
    with set_current_context(context):
        return task.python_callable()


def test_the_task_of_the_dag_knows_the_type_of_its_run(late: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    assert run_task(late, monkeypatch, DagRunType.SCHEDULED) == ["20261118T000000Z", COVERED]
    assert run_task(late, monkeypatch, DagRunType.BACKFILL) == [COVERED]
    assert run_task(late, monkeypatch, DagRunType.MANUAL) == [COVERED]
    assert run_task(late, monkeypatch, DagRunType.MANUAL, interval=" 2026-11-12 ") == ["20261112T000000Z"]


def test_an_interval_and_a_repair_are_not_asked_for_together(
    late: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UsageError, match="leave one out"):
        run_task(late, monkeypatch, DagRunType.MANUAL, interval="2026-11-12", repair=True)

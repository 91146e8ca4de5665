"""Which intervals a night makes good because nothing has published them, and which it leaves; what its log says."""

from __future__ import annotations

import logging
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import airflow.settings  # noqa: F401 - first of all: it sets logging up anew, without pytest's handler
import pytest

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.published import publications
from millrace.lake.serving import switch
from millrace.lake.store import LakeStore
from millrace.tasks.intervals import RunRequest
from millrace.tasks.repair import choose_intervals
from millrace.tasks.runs_in_progress import covered_by_runs_in_progress
from tests.plugins.lake.lake_rows import write_speed
from tests.plugins.lake.raw_rows import archive, local_environment, publish_read

NOW = datetime(2026, 11, 21, 14, 30, tzinfo=UTC)
NIGHT = (datetime(2026, 11, 20, 2, tzinfo=UTC), datetime(2026, 11, 21, 2, tzinfo=UTC))
WEEK, HOUR = timedelta(days=7), timedelta(hours=1)
COVERED = "20261120T000000Z"


def day(number: int) -> Interval:
    return Interval.parse(f"2026-11-{number:02}", stock_high_low.interval)


def ids(*numbers: int) -> list[str]:
    return [day(number).id for number in numbers]


def chosen(
    environment: Environment, run_type: str = "scheduled", pipeline: Pipeline = stock_high_low, **changed: Any
) -> list[str]:
    elsewhere = changed.pop("elsewhere", lambda intervals: ())
    asked = replace(RunRequest(run_type, None, False, NIGHT, NOW), **changed)
    return choose_intervals(environment, pipeline, asked, WEEK, elsewhere)


def refused(environment: Environment, of: Interval, version: str, **counted: Any) -> None:
    """The newest run of the interval, which read two events, has a difference that nothing explains."""
    parity = {"equal": 1, "different": 1, "causes": {"unexplained": 1}, "differences": []}
    result = {"run": "r", "version": version, "rows_read": 2, "parity": parity, "speed_batch": 7, **counted}
    path = Lake("").newest_result(stock_high_low.name, version, of.id)
    LakeStore(environment).write_json(path, result)


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    """Days 12 to 14, 16, 17 and 19 are archived, of which 16 and 19 are published; of 11 and 18 the speed layer alone
    has rows. The look-back of the night begins on the 14th at two o'clock."""
    environment = local_environment(tmp_path)
    archive(environment, *(day(number).start for number in (12, 13, 14, 14, 16, 17, 19)))
    for number in (16, 19):
        publish_read(environment, stock_high_low, day(number), 1)
    for number in (11, 18):
        write_speed(environment, day(number), batch_id=7, high=1, version="v1")
    return environment


def test_a_night_also_runs_what_the_nights_before_it_have_missed(
    here: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.INFO):
        assert chosen(here) == [*ids(14, 17, 18), COVERED]
    assert f"interval {day(14).id}: missed: no run of it is published, and 2 events are archived" in caplog.text
    assert f"interval {day(18).id}: missed: no run of it is published, and 0 events are archived" in caplog.text
    assert "repaired" not in caplog.text  # a word for what was published


def test_what_was_missed_before_the_look_back_is_a_warning_with_the_remedy(
    here: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    chosen(here)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert "1 intervals that ended more than 7 days, 0:00:00 ago were missed: no run of them is published" in warning
    assert f"{day(11).id} (0 events); create a backfill of their days, or run each with `millrace reprocess" in warning


def test_events_that_came_for_an_empty_day_after_the_look_back_are_told(
    here: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    """Nothing is published of an empty day, and the speed layer has dropped them as late."""
    publish_read(here, stock_high_low, day(10), 0)
    chosen(here)
    (warning,) = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert f"{day(11).id} (0 events), {day(12).id} (1 events), {day(13).id} (1 events); create" in warning


def test_an_empty_day_that_was_missed_is_published_as_one_that_was_not(
    here: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    assert day(15).id not in chosen(here)  # nothing is published before it: nobody has asked about it
    publish_read(here, stock_high_low, day(10), 0)
    with caplog.at_level(logging.INFO):
        assert chosen(here) == [*ids(14, 15, 17, 18), COVERED]
    assert f"interval {day(15).id}: missed: no run of it is published, and 0 events are archived" in caplog.text
    publish_read(here, stock_high_low, day(15), 0)
    assert day(15).id not in chosen(here)


def test_a_new_pipeline_over_years_of_archive_starts_with_the_look_back(tmp_path: Path) -> None:
    environment = local_environment(tmp_path)
    archive(environment, *(day(20).start - timedelta(days=number) for number in range(700)))
    assert chosen(environment) == [*ids(14, 15, 16, 17, 18, 19), COVERED]


@pytest.mark.parametrize(
    "asked", [{"run_type": "manual"}, {"run_type": "manual", "repair": True}, {"run_type": "backfill"}]
)
def test_only_a_scheduled_run_makes_good_what_was_missed(here: Environment, asked: dict[str, Any]) -> None:
    assert chosen(here, **asked) == ([] if asked.get("repair") else [COVERED])


def test_an_hour_that_may_still_get_records_is_left_to_the_next_run(tmp_path: Path) -> None:
    """Records may be two hours late: at 14:00 all of the hour that ended at 12:00 is there, not of the one after it."""
    environment, topic = local_environment(tmp_path), replace(stock_high_low.topic, allowed_lateness=2 * HOUR)
    hourly = replace(stock_high_low, interval=HOUR, topic=topic)
    until = datetime(2026, 11, 20, 14, tzinfo=UTC)
    archive(environment, *(until - number * HOUR for number in (4, 3, 2, 1)))
    found = chosen(environment, pipeline=hourly, data_interval=(until - HOUR, until))
    assert found == ["20261120T100000Z", "20261120T110000Z", "20261120T130000Z"]  # the last is the run's own


def test_what_an_older_version_serves_is_left_to_it(here: Environment) -> None:
    """`backfill_days` of an upgrade promises so; and what was read from another topic is not in this one's archive."""
    switch(here, stock_high_low, "v2", by="a test", reason="changed code")
    write_speed(here, day(19), batch_id=1, high=1, version="v2")
    assert {found.version for found in publications(here, stock_high_low)} == {"v1"}
    found = chosen(here)
    assert [each for each in found if each not in ids(16, 19)] == found == [*ids(14, 17, 18), COVERED]


def test_an_interval_that_the_gate_would_refuse_again_is_held_back_and_told(
    here: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    refused(here, day(14), "v1")
    assert chosen(here) == [*ids(17, 18), COVERED]
    assert f"interval {day(14).id}: held back, nothing has changed since its newest run" in caplog.text
    assert "1 of 1 differences between batch and speed are unexplained" in caplog.text
    assert f"`millrace explain stock_high_low {day(14).id} --version v1` shows them" in caplog.text


def test_it_is_run_again_once_the_archive_has_more_of_it(here: Environment) -> None:
    refused(here, day(14), "v1")
    archive(here, day(14).start + HOUR)
    assert day(14).id in chosen(here)


def test_it_is_run_again_once_the_speed_layer_says_something_else(here: Environment) -> None:
    refused(here, day(14), "v1")
    write_speed(here, day(14), batch_id=7, high=1, version="v1")
    assert day(14).id not in chosen(here)
    write_speed(here, day(14), batch_id=8, high=1, version="v1")
    assert day(14).id in chosen(here)


def test_it_is_run_again_under_another_version_and_where_the_gate_accepts_it(here: Environment) -> None:
    refused(here, day(14), "v0")
    assert day(14).id in chosen(here)
    refused(here, day(14), "v1")
    assert day(14).id in chosen(here, pipeline=replace(stock_high_low, max_unexplained=1))


def test_a_repair_that_the_gate_would_refuse_again_is_held_back_unless_a_person_asks(here: Environment) -> None:
    archive(here, day(19).start)  # pending late: two events, of which the published run read one
    assert day(19).id in chosen(here)
    refused(here, day(19), "v1")
    assert day(19).id not in chosen(here)
    assert chosen(here, "manual", repair=True) == ids(19)


def test_a_runs_own_interval_is_run_whatever_the_gate_has_said(here: Environment) -> None:
    archive(here, day(20).start, day(20).start)
    refused(here, day(20), "v1")
    assert COVERED in chosen(here)


@dataclass(frozen=True)
class Runs:
    """As a task asks for the runs of its DAG: these logical dates have a run that is queued or running."""

    dates: frozenset[datetime]
    dag_id: str = "stock_high_low__batch"

    def get_dr_count(self, dag_id: str, logical_dates: list[datetime], states: list[str]) -> int:
        assert (dag_id, states) == (self.dag_id, ["queued", "running"])
        return len(self.dates.intersection(logical_dates))


def test_what_a_backfill_in_progress_covers_is_left_to_it(here: Environment, caplog: pytest.LogCaptureFixture) -> None:
    """The run of the 17th covers the day that ends between it and the next."""
    runs = Runs(frozenset({datetime(2026, 11, 17, 2, tzinfo=UTC), NIGHT[0]}))  # a backfill's, and the run that asks
    with caplog.at_level(logging.INFO):
        found = chosen(here, elsewhere=lambda each: covered_by_runs_in_progress(runs, "0 2 * * *", each))
    assert found == [*ids(14, 18), COVERED]
    assert f"interval {day(17).id}: missed, and left to the run that covers it" in caplog.text


@pytest.mark.parametrize(
    ("schedule", "end", "logical_date"),
    [
        ("0 2 * * *", "2026-11-18T00:00", "2026-11-17T02:00"),
        ("0 0 * * *", "2026-11-18T00:00", "2026-11-17T00:00"),  # a data interval includes its end
        ("0 * * * *", "2026-11-18T13:00", "2026-11-18T12:00"),
        ("30 3 * * MON", "2026-11-18T00:00", "2026-11-16T03:30"),
        ("@daily", "2026-11-18T00:00", "2026-11-17T00:00"),
    ],
)
def test_the_run_that_covers_an_interval_began_with_the_last_time_of_the_schedule_before_its_end(
    schedule: str, end: str, logical_date: str
) -> None:
    at = datetime.fromisoformat(f"{end}+00:00")
    asked = Interval(at - HOUR, at)
    for moved in (timedelta(0), timedelta(minutes=1)):
        date = datetime.fromisoformat(f"{logical_date}+00:00") + moved
        found = covered_by_runs_in_progress(Runs(frozenset({date})), schedule, [asked])
        assert found == ([] if moved else [asked])

"""A night after late events and nights without a run, by Airflow's own scheduler: it repairs each past day that has
late events, publishes the empty days that were missed, and runs no other."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from datetime import datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import quote

import pytest

from jobs.interval import Interval
from jobs.lake import batch_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.cli.batch import reprocess_interval
from millrace.environment import Environment
from millrace.lake.pending_late import pending_late
from millrace.lake.published import Publication, publications
from millrace.lake.view import read_view
from millrace.look_back import REPAIR_WITHIN
from millrace.platforms.local import local_platform
from millrace.supervision.connection import Connection
from tests.end_to_end.streams import DAYS, FIRST_DAY, Streams, await_true
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows

pytestmark = [pytest.mark.release, pytest.mark.timeout(1800)]

DAG = batch_query(stock_high_low.name)
TASKS = ("certify", "reprocess", "compare", "publish")


def day(back: int) -> Interval:
    """The interval that began so many days before the newest past day of the fixtures."""
    newest = Interval.of(FIRST_DAY, stock_high_low.interval).start + timedelta(days=DAYS - 1)
    return Interval.of(newest - timedelta(days=back), stock_high_low.interval)


# The quiet day lies between the two. Until 2 o'clock the night covers the newest day by itself: that has late events.
OLDER, QUIET, NEWER = day(2), day(1), day(0)
BEYOND = day(8)
LATE = {OLDER: 120, NEWER: 60, BEYOND: 40}


class Mapped(NamedTuple):
    """One mapped instance of *reprocess*: the interval that Airflow shows it by, and the run that it has made."""

    interval: str
    run: str


class Night:
    """The run that the scheduler makes by itself of the night before."""

    def __init__(self, streams: Streams) -> None:
        self.airflow = streams.airflow
        self.told = self._begin()
        self.id: str = self.told["dag_run_id"]
        self._path = f"/dags/{DAG}/dagRuns/{quote(self.id, safe='')}/taskInstances"

    def _begin(self) -> dict[str, Any]:
        """Unpausing makes the scheduler create it; where a test before has had it, it is cleared as a person would."""
        self.airflow.await_dag(DAG)
        earlier = self._scheduled()
        self.airflow.unpause(DAG)
        if earlier:
            self.airflow.api.post(f"/dags/{DAG}/dagRuns/{quote(earlier['dag_run_id'], safe='')}/clear", _ALL)
        return await_true("the night's run", self._scheduled)

    def _scheduled(self) -> dict[str, Any] | None:
        return next((run for run in self.airflow.runs(DAG) if run["run_type"] == "scheduled"), None)

    def await_success(self) -> None:
        state = self.airflow.await_run(DAG, self.id, timedelta(minutes=10))
        assert state == "success", self.airflow.tasks(DAG, self.id)

    def own(self) -> Interval:
        """What it covers without any look-back: the last day that ended by the end of its data interval."""
        until = datetime.fromisoformat(self.told["data_interval_end"])
        return Interval.of(Interval.of(until, stock_high_low.interval).start - timedelta(days=1), timedelta(days=1))

    def missed(self, published: Collection[Interval]) -> set[Interval]:
        """The empty days within its look-back that nobody has published, though an older one is."""
        until = datetime.fromisoformat(self.told["data_interval_end"])
        days = Interval.ended_within(until - REPAIR_WITHIN, until, stock_high_low.interval)
        return set(days) - set(published) - {self.own()}

    def mapped(self, task: str) -> list[dict[str, Any]]:
        """The task's mapped instances, as Airflow describes them."""
        found = self.airflow.api.get(f"{self._path}/interval_run.{task}/listMapped", limit=100)
        return sorted(found["task_instances"], key=lambda each: each["map_index"])

    def reprocessed(self) -> list[Mapped]:
        return [Mapped(each["rendered_map_index"], self._run_of(each)) for each in self.mapped("reprocess")]

    def _run_of(self, told: dict[str, Any]) -> str:
        path = f"{self._path}/{told['task_id']}/xcomEntries/return_value"
        return str(self.airflow.api.get(path, map_index=told["map_index"])["value"])

    def log(self) -> str:
        """Why which interval is run, and which is not."""
        last = next(task for task in self.airflow.tasks(DAG, self.id) if task.task_id == "intervals")
        return "\n".join(self.airflow.task_log(DAG, self.id, last.task_id, last.try_number))


_ALL = {"dry_run": False, "only_failed": False}


@pytest.fixture
def published_days(settled: Streams) -> Iterator[dict[Interval, Publication]]:
    """Four days, one of them further back than a night looks, each by its run. Published while the DAG is paused: once
    it is not, the night begins. It is paused again, or else the tests that follow would have nights of their own."""
    settled.airflow.await_dag(DAG)
    settled.airflow.pause(DAG)
    produce(settled, BEYOND, 100, seed=20)
    settled.settle()
    connection = Connection(settled.environment, local_platform(settled.environment), settled.store)
    for each in (BEYOND, OLDER, QUIET, NEWER):
        assert reprocess_interval(connection, stock_high_low, each, timedelta(minutes=5), False)["published"]
    yield published(settled.environment)
    settled.airflow.pause(DAG)


def test_a_night_repairs_the_days_of_its_look_back_that_have_late_events_and_publishes_the_missed_ones(
    settled: Streams, published_days: dict[Interval, Publication]
) -> None:
    environment = settled.environment
    for seed, (each, count) in enumerate(LATE.items(), start=21):
        produce(settled, each, count, seed)
    settled.settle()
    assert pending(environment) == {each.id: LATE.get(each, 0) for each in published_days}

    night = Night(settled)
    night.await_success()

    assert BEYOND.end < datetime.fromisoformat(night.told["data_interval_end"]) - REPAIR_WITHIN < OLDER.end
    missed = night.missed(published_days)
    assert missed, "days without an event, between the published ones"
    expected = sorted({each.id for each in (night.own(), OLDER, NEWER, *missed)})
    for task in TASKS:
        found = night.mapped(task)
        assert [each["rendered_map_index"] for each in found] == expected, "one instance per interval, oldest first"
        assert {each["state"] for each in found} == {"success"}
    check_runs(night, published_days, published(environment))
    check_empty(published(environment), missed)
    assert pending(environment) == {each: LATE[BEYOND] * (each == BEYOND.id) for each in pending(environment)}
    assert f"{BEYOND.id} ({LATE[BEYOND]} pending late events)" in night.log()
    assert QUIET.id not in night.log()
    check_views(environment, OLDER, QUIET, NEWER)

    settled.run_dag(DAG, interval=BEYOND.id)  # what is further back is a person's to repair
    assert set(pending(environment).values()) == {0}
    check_views(environment, BEYOND)


def check_runs(night: Night, before: dict[Interval, Publication], after: dict[Interval, Publication]) -> None:
    """What is served of each day is the run of its own mapped instance, or of no other than before."""
    runs = dict(night.reprocessed())
    for each in (OLDER, NEWER):
        assert after[each].run == runs[each.id] != before[each].run
        assert after[each].result["rows_read"] == before[each].result["rows_read"] + LATE[each]
        assert set(after[each].result["parity"]["causes"]) == {"late"}
    for each in (QUIET, BEYOND):
        assert (after[each].run, after[each].published_at) == (before[each].run, before[each].published_at)


def check_empty(published: dict[Interval, Publication], days: Collection[Interval]) -> None:
    for each in days:
        assert published[each].certificate["coverage"]
        assert (published[each].partial, published[each].result["rows_read"]) == ([], 0)


def check_views(environment: Environment, *intervals: Interval) -> None:
    expected = high_low(read_topic(environment.kafka_bootstrap, stock_ticks.name))
    for each in intervals:
        view = read_view(environment, stock_high_low, start=each.start, end=each.end)
        assert set(view["_layer"].to_pylist()) == {"batch"}
        assert view_rows(view) == {key: row for key, row in expected.items() if each.start <= key[1] < each.end}


def produce(streams: Streams, interval: Interval, count: int, seed: int) -> None:
    """So many events from the interval's beginning on, by the DAG that a person would use."""
    streams.run_dag("produce_stock_ticks", start=interval.start.isoformat(), duration_s=count, rate=1, seed=seed)


def published(environment: Environment) -> dict[Interval, Publication]:
    return {each.interval: each for each in publications(environment, stock_high_low)}


def pending(environment: Environment) -> dict[str, int]:
    return pending_late(environment, stock_high_low, publications(environment, stock_high_low))

"""The steps of an upgrade on a lake that delta-rs wrote: what is planned, compared, switched and withdrawn."""

from __future__ import annotations

import dataclasses
import uuid
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from airflow.sdk.exceptions import AirflowFailException, AirflowSkipException

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import Lake, speed_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.builders import upgrade as upgrade_dag
from millrace.environment import Environment
from millrace.lake.published import publish
from millrace.lake.serving import begin_serving, served_version, switch
from millrace.lake.store import LakeStore
from millrace.platforms.protocol import SparkJob
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from millrace.tasks import upgrade
from millrace.tasks.upgrade import Plan
from tests.plugins.lake.lake_rows import certificate, write_batch, write_speed
from tests.plugins.lake.raw_rows import archive, local_environment
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

NAME, DAY = stock_high_low.name, timedelta(days=1)
OLD, NEW = "0123456789ab", fingerprint(stock_high_low)
TODAY = Interval.of(datetime.now(UTC), DAY)
PLAN = Plan(version=NEW, served=OLD, serving=1, intervals=[])


@dataclass(frozen=True)
class Try:
    run_id: str = "manual__1"
    try_number: int = 1
    max_tries: int = 1
    map_index: int | None = -1


@pytest.fixture
def lake_here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    environment = local_environment(tmp_path)
    monkeypatch.setattr(upgrade, "environment_for_task", lambda _: environment)
    return environment


@pytest.fixture
def connection(lake_here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Connection:
    connection = Connection(lake_here, FakePlatform(), FolderNotes(tmp_path))
    monkeypatch.setattr(upgrade, "connect", lambda _: connection)
    return connection


def days_ago(number: int) -> Interval:
    return Interval.of(TODAY.start - number * DAY, DAY)


def published(environment: Environment, interval: Interval, version: str, high: int = 1) -> None:
    run = f"{version}-{interval.id}"
    write_batch(environment, interval, run, high)
    proof = certificate(0)
    publish(environment, stock_high_low, interval, run=run, version=version, certificate=proof, result={"rows_read": 3})


def test_served_intervals_that_the_new_version_has_not_published_are_planned(lake_here: Environment) -> None:
    for number in (40, 3, 2):
        published(lake_here, days_ago(number), OLD)
    published(lake_here, days_ago(2), NEW)
    plan = upgrade.plan_upgrade(stock_high_low, None, None)
    assert plan == Plan(version=NEW, served=OLD, serving=1, intervals=[days_ago(40).id, days_ago(3).id])
    assert upgrade.plan_upgrade(stock_high_low, 30, None)["intervals"] == [days_ago(3).id]


def test_what_is_published_better_since_is_run_again_however_old(lake_here: Environment) -> None:
    """The new version published it before late events came, which a night has repaired for the served version."""
    for version in (OLD, NEW):
        published(lake_here, days_ago(40), version)
    assert upgrade.plan_upgrade(stock_high_low, 30, None)["intervals"] == []
    for _ in range(5):
        archive(lake_here, days_ago(40).start)
    repaired = {"run": "repair", "version": OLD, "certificate": certificate(4), "result": {"rows_read": 5}}
    assert publish(lake_here, stock_high_low, days_ago(40), **repaired)  # type: ignore[arg-type]
    assert upgrade.plan_upgrade(stock_high_low, 30, None)["intervals"] == [days_ago(40).id]


def test_the_candidate_is_given_what_was_planned(lake_here: Environment) -> None:
    switched = begin_serving(lake_here, stock_high_low, OLD, by="a test")
    plan = upgrade.plan_upgrade(stock_high_low, None, None)
    task = cast(Any, upgrade_dag(stock_high_low).get_task("candidate"))
    task.render_template_fields({"ti": SimpleNamespace(xcom_pull=lambda task_ids: {"plan": plan}[task_ids])})
    assert (task.version, task.since) == (NEW, str(switched.number))


def test_what_the_speed_layer_serves_before_the_published_intervals_is_planned_too(lake_here: Environment) -> None:
    """The new stream begins behind what is published in a row: it would have of them what comes late, and no more."""
    for number in (50, 40, 1):
        write_speed(lake_here, days_ago(number), 0, high=1, version=OLD)
    write_speed(lake_here, days_ago(60), 0, high=1, version=NEW)
    published(lake_here, days_ago(3), OLD), published(lake_here, days_ago(2), OLD)
    planned = [days_ago(number).id for number in (50, 40)]
    assert upgrade.plan_upgrade(stock_high_low, 2, None)["intervals"] == [*planned, days_ago(2).id]
    published(lake_here, days_ago(50), NEW)
    assert upgrade.plan_upgrade(stock_high_low, 0, None)["intervals"] == planned[1:]


def test_what_was_read_of_another_topic_is_left_to_the_old_version(lake_here: Environment) -> None:
    """The new topic's archive has none of its records: a run would publish an empty day."""
    published(lake_here, days_ago(3), OLD)
    moved = dataclasses.replace(stock_high_low, topic=dataclasses.replace(stock_high_low.topic, name="new_ticks"))
    assert upgrade.plan_upgrade(moved, None, None)["intervals"] == []
    assert upgrade.plan_upgrade(stock_high_low, None, None)["intervals"] == [days_ago(3).id]


def test_intervals_of_another_length_are_refused_before_anything_is_run(lake_here: Environment) -> None:
    published(lake_here, days_ago(3), OLD)
    hourly = dataclasses.replace(stock_high_low, interval=timedelta(hours=1))
    with pytest.raises(
        AirflowFailException, match=r"intervals are of another length .*1:00:00 and 1 day.*another name"
    ):
        upgrade.plan_upgrade(hourly, None, None)


def test_without_a_new_version_there_is_nothing_to_do(lake_here: Environment) -> None:
    with pytest.raises(AirflowSkipException, match="no version is served yet"):
        upgrade.plan_upgrade(stock_high_low, None, None)
    begin_serving(lake_here, stock_high_low, NEW, by="a test")
    with pytest.raises(AirflowSkipException, match=f"the code here is version {NEW}, which is served"):
        upgrade.plan_upgrade(stock_high_low, None, None)


def test_who_approves_sees_what_would_change(lake_here: Environment) -> None:
    published(lake_here, days_ago(3), OLD, high=1), published(lake_here, days_ago(3), NEW, high=1)
    published(lake_here, days_ago(2), OLD, high=1), published(lake_here, days_ago(2), NEW, high=2)
    text = upgrade.compare_with_served(stock_high_low, PLAN, None)
    assert f"{days_ago(2).id} (batch against batch): 0 equal, 3 different" in text
    assert days_ago(3).id not in text
    assert f"high 1 in {OLD}, 2 in {NEW}" in text


def test_who_approves_is_told_what_the_old_version_alone_answers(lake_here: Environment) -> None:
    published(lake_here, days_ago(3), OLD)
    assert f"1 intervals are answered by {OLD} alone" in upgrade.compare_with_served(stock_high_low, PLAN, None)


def test_withdrawing_stops_the_candidate_of_this_run_and_fails(connection: Connection) -> None:
    begin_serving(connection.environment, stock_high_low, OLD, by="a test")
    for stream, owner in ((speed_stream(NAME, OLD), "speed.1"), (speed_stream(NAME, NEW), "candidate.1")):
        connection.platform.submit(SparkJob(stream, (), owner))
    candidate = connection.platform.find(speed_stream(NAME, NEW))
    assert candidate is not None
    control = StreamControl(connection.notes, candidate.name)
    with pytest.raises(AirflowFailException, match="was withdrawn"):
        upgrade.withdraw_candidate(stock_high_low, PLAN, None, Try())
    assert control.stop_request() is None, "it is another run's"
    control.supervise(candidate, upgrade.Generation(upgrade.run_token(Try()), 1))
    with pytest.raises(AirflowFailException, match="What is served has not changed"):
        upgrade.withdraw_candidate(stock_high_low, PLAN, None, Try())
    request = control.stop_request()
    assert request is not None
    assert (request.owner, request.by_supervisor) == ("candidate.1", False)
    assert StreamControl(connection.notes, speed_stream(NAME, OLD)).stop_request() is None


def test_after_the_switch_there_is_nothing_to_withdraw(connection: Connection) -> None:
    begin_serving(connection.environment, stock_high_low, NEW, by="a test")
    with pytest.raises(AirflowFailException, match=f"version {NEW} is served, though a task failed"):
        upgrade.withdraw_candidate(stock_high_low, PLAN, None, Try())
    assert StreamControl(connection.notes, speed_stream(NAME, NEW)).stop_request() is None


@pytest.mark.stack
class TestWithCheckpoints:
    """How far a stream is, is read from its checkpoint on Azurite."""

    @pytest.fixture
    def lake_here(self, environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
        own = dataclasses.replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
        monkeypatch.setattr(upgrade, "environment_for_task", lambda _: own)
        monkeypatch.setattr(upgrade, "_PATIENCE", timedelta(seconds=1))
        monkeypatch.setattr(upgrade, "_LAST_PATIENCE", timedelta(seconds=1))
        begin_serving(own, stock_high_low, OLD, by="a test")
        return own

    def test_a_candidate_has_caught_up_when_its_checkpoint_has_what_the_served_one_had(
        self, lake_here: Environment
    ) -> None:
        began(lake_here, OLD, 0)
        assert not caught_up("running"), "the candidate has not begun"
        began(lake_here, NEW, 0)
        assert caught_up("running")
        committed(lake_here, OLD, 0, 500)
        assert not caught_up("running")
        planned(lake_here, NEW, 0, 500)
        assert not caught_up("running"), "planned is not done"
        committed(lake_here, NEW, 0, 500)
        assert caught_up("running")

    def test_a_candidate_that_begins_where_nothing_follows_has_caught_up(self, lake_here: Environment) -> None:
        began(lake_here, OLD, 0)
        committed(lake_here, OLD, 0, 500)
        began(lake_here, NEW, 500)
        assert caught_up("running")

    @pytest.mark.parametrize("state", ["failed", "success"])
    def test_a_candidate_that_has_ended_is_not_waited_for(self, lake_here: Environment, state: str) -> None:
        began(lake_here, OLD, 0)
        with pytest.raises(AirflowFailException, match="the candidate's stream has ended"):
            caught_up(state)

    def test_the_switch_is_refused_until_readers_would_miss_nothing_and_may_be_repeated(
        self, lake_here: Environment
    ) -> None:
        began(lake_here, OLD, 0), began(lake_here, NEW, 0)
        committed(lake_here, OLD, 0, 500)
        write_speed(lake_here, days_ago(1), 0, high=1, version=OLD)
        with pytest.raises(MillraceError, match="is 500 records behind the served version's"):
            switched("running")
        committed(lake_here, NEW, 0, 500)
        with pytest.raises(MillraceError, match="1 intervals that the speed layer serves would have no rows"):
            switched("running")
        write_speed(lake_here, days_ago(1), 0, high=1, version=NEW)
        with pytest.raises(AirflowFailException, match="has ended"):
            switched("failed")
        assert served_version(lake_here, stock_high_low) == OLD
        switched("running"), switched("success")
        assert served_version(lake_here, stock_high_low) == NEW

    def test_a_switch_by_somebody_else_meanwhile_is_not_undone(self, lake_here: Environment) -> None:
        began(lake_here, OLD, 0), began(lake_here, NEW, 0)
        for version in (OLD, NEW):
            write_speed(lake_here, days_ago(1), 0, high=1, version=version)
        switch(lake_here, stock_high_low, "ba9876543210", by="somebody", reason="")
        with pytest.raises(MillraceError, match="ba9876543210 is served since"):
            switched("running")


def caught_up(state: str) -> bool:
    return upgrade.is_candidate_caught_up(stock_high_low, PLAN, None, lambda: state)


def switched(state: str) -> None:
    upgrade.switch_version(stock_high_low, PLAN, None, "manual__1", lambda: state)


def began(environment: Environment, version: str, offset: int) -> None:
    """As Spark's Kafka source notes where it began."""
    write(environment, version, "sources/0/0", f'\0v1\n{{"stock_ticks":{{"0":{offset}}}}}')


def planned(environment: Environment, version: str, batch: int, end: int) -> None:
    about = '{"batchWatermarkMs":0,"batchTimestampMs":0}'
    write(environment, version, f"offsets/{batch}", f'v1\n{about}\n{{"stock_ticks":{{"0":{end}}}}}')


def committed(environment: Environment, version: str, batch: int, end: int) -> None:
    planned(environment, version, batch, end)
    write(environment, version, f"commits/{batch}", "v1\n{}")


def write(environment: Environment, version: str, name: str, text: str) -> None:
    path = f"{Lake('').checkpoint(speed_query(NAME), version)}/{name}"
    LakeStore(environment).write(path, text.encode())

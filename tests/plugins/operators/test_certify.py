"""The task that certifies an interval: at once, after a wait, not in time, or partially."""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from jobs.interval import Interval
from millrace.environment import Environment
from millrace.lake.certificate import Claim
from millrace.operators.certify import CertifyOperator
from millrace.tasks.partial_label import partial_label
from millrace.triggers.certify import CertifyTrigger
from tests.plugins.lake.archived_topic import ArchivedTopic, ended, ending

LOG = logging.getLogger("millrace.certify")
MINUTE, SECOND = timedelta(minutes=1), timedelta(seconds=1)


class Trigger(CertifyTrigger):
    """About a topic of the test's own; its log is one that pytest sees."""

    log = LOG  # type: ignore[assignment]
    given: Claim

    def claim(self) -> Claim:
        return self.given


class Operator(CertifyOperator):
    """The same."""

    log = LOG  # type: ignore[assignment]
    given: Claim

    def claim(self) -> Claim:
        return self.given


Make = Callable[..., Operator]


@pytest.fixture
def ticks(environment: Environment) -> ArchivedTopic:
    """Three records, no archive yet."""
    ticks = ArchivedTopic(replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}"))
    ticks.produce(3)
    return ticks


@pytest.fixture
def make(ticks: ArchivedTopic) -> Make:
    def make(interval: Interval, within: timedelta = MINUTE) -> Operator:
        task = Operator(task_id="certify", pipeline="stock_high_low", interval=interval.id, within=within)
        task.given = ticks.claim(interval)
        return task

    return make


def execute(task: Operator, **params: object) -> dict[str, Any]:
    return task.execute({"params": params})  # type: ignore[typeddict-item]


def deferred(task: Operator) -> Trigger:
    """The trigger that the task defers to, as the triggerer makes it from the database."""
    with pytest.raises(TaskDeferred) as raised:
        execute(task)
    assert raised.value.method_name == "resume"
    path, kwargs = raised.value.trigger.serialize()
    assert path == "millrace.triggers.certify.CertifyTrigger"
    trigger = Trigger(**{**kwargs, "settle_s": 0.1, "poll_s": 0.1})
    trigger.given = task.given
    return trigger


async def event(trigger: Trigger) -> dict[str, Any]:
    async for found in trigger.run():
        return dict(found.payload)
    raise AssertionError("the trigger ended without an event")


def waits(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the trigger logged."""
    return [message for message in caplog.messages if message.startswith("waiting: ")]


def test_a_complete_archive_is_certified_in_the_worker(make: Make, ticks: ArchivedTopic) -> None:
    ticks.archive(3, 0)
    task, context = make(ended(MINUTE)), {"params": {}}
    certificate = task.execute(context)  # type: ignore[arg-type]
    assert label(task, context) == task.interval
    assert certificate["coverage"] == {"0": 3, "1": 0}
    assert certificate["partial"] == []


def test_it_waits_deferred_while_the_archive_is_behind_and_says_so_whenever_that_changes(
    make: Make, ticks: ArchivedTopic, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, LOG.name)
    ticks.archive(1, 0)
    task = make(ended(MINUTE))
    trigger = deferred(task)
    assert any("partition 0 has 1 of 3" in message for message in caplog.messages)
    ticks.produce(4)  # later than the end that the worker fixed: not needed

    async def scenario() -> dict[str, Any]:
        waiting = asyncio.create_task(event(trigger))
        for offset in (2, 3):
            while len(waits(caplog)) < offset - 1 and not waiting.done():
                await asyncio.sleep(0.02)
            ticks.archive(offset, 0)
        return await waiting

    certificate = task.resume({}, asyncio.run(scenario()))  # type: ignore[typeddict-item]
    assert [line.partition("partition 0 ")[2].partition(";")[0] for line in waits(caplog)] == [
        "has 1 of 3",
        "has 2 of 3",
    ]
    assert (certificate["coverage"]["0"], certificate["partial"]) == (3, [])


def test_a_lake_that_does_not_answer_at_first_is_waited_for(
    make: Make, ticks: ArchivedTopic, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level(logging.INFO, LOG.name)
    ticks.archive(1, 0)
    trigger = deferred(make(ended(MINUTE)))
    ticks.archive(3, 0)
    answers = iter([ConnectionError("refused"), ConnectionError("refused"), trigger.given])

    def claim(self: Trigger) -> Claim:
        answer = next(answers)
        if isinstance(answer, Exception):
            raise answer
        return answer

    monkeypatch.setattr(Trigger, "claim", claim)
    assert asyncio.run(event(trigger))["certificate"]["partial"] == []
    assert waits(caplog) == 2 * ["waiting: the lake cannot be read (ConnectionError: refused)"]


def test_it_waits_until_the_interval_has_ended_and_its_records_may_not_come_any_more(
    make: Make, ticks: ArchivedTopic
) -> None:
    ticks.topic = replace(ticks.topic, allowed_lateness=SECOND)
    ticks.archive(3, 0)
    task = make(interval := ending(SECOND))
    trigger = deferred(task)
    assert trigger.needed is None
    certificate = task.resume({}, asyncio.run(event(trigger)))  # type: ignore[typeddict-item]
    assert datetime.fromisoformat(certificate["kafka_end_at"]) >= interval.end + SECOND
    assert certificate["partial"] == []


def test_at_its_deadline_it_fails_for_good_with_the_reason_and_the_remedy(make: Make, ticks: ArchivedTopic) -> None:
    ticks.archive(1, 0)
    task = make(ended(MINUTE), within=SECOND)
    told = asyncio.run(event(deferred(task)))
    with pytest.raises(AirflowFailException) as failed:
        task.resume({}, told)  # type: ignore[typeddict-item]
    for part in ("stock_high_low", "not proven complete after 0:00:01", "partition 0 has 1 of 3", "allow_partial"):
        assert part in str(failed.value)


def test_an_interval_whose_time_comes_after_the_deadline_is_announced_to_fail(
    make: Make, ticks: ArchivedTopic, caplog: pytest.LogCaptureFixture
) -> None:
    ticks.archive(3, 0)
    task = make(ending(timedelta(hours=1)), within=SECOND)
    trigger = deferred(task)
    assert "this task will fail" in caplog.text
    began = datetime.now(UTC)
    told = asyncio.run(event(trigger))
    assert datetime.now(UTC) - began < timedelta(seconds=20)
    with pytest.raises(AirflowFailException, match="it is complete from"):
        task.resume({}, told)  # type: ignore[typeddict-item]


def label(task: CertifyOperator, context: dict[str, Any]) -> str:
    """As Airflow renders it when the task has run."""
    rendered = DAG("any").get_template_env().from_string(partial_label("{{ task.interval }}"))
    return rendered.render(context | {"task": task})


def test_allow_partial_waits_for_nothing_and_says_what_is_missing(make: Make, ticks: ArchivedTopic) -> None:
    ticks.archive(1, 0)
    task, context = make(ending(timedelta(hours=1))), {"params": {"allow_partial": True}}
    assert label(task, context) == task.interval
    certificate = task.execute(context)  # type: ignore[arg-type]
    assert label(task, context) == f"{task.interval} (partial)"
    early, behind = certificate["partial"]
    assert "complete from" in early
    assert "partition 0 has 1 of 3" in behind


def test_allow_partial_without_an_archive_fails_for_good(make: Make) -> None:
    with pytest.raises(AirflowFailException, match="without an archive nothing is partial"):
        execute(make(ended(MINUTE)), allow_partial=True)


def test_an_interval_that_is_none_fails_for_good(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.supervision.connection.load_environment", lambda name, **_: environment)
    task = CertifyOperator(task_id="certify", pipeline="stock_high_low", interval="20261119T050000Z")
    with pytest.raises(AirflowFailException, match="does not start an interval"):
        task.execute({"params": {}})  # type: ignore[typeddict-item]


def test_the_trigger_survives_the_database_and_does_not_fire_at_once() -> None:
    trigger = CertifyTrigger("stock_high_low", "20261119T000000Z", "2026-11-20T02:00:00+00:00", "local", {"x": 1})
    path, kwargs = trigger.serialize()
    assert path == "millrace.triggers.certify.CertifyTrigger"
    assert CertifyTrigger(**kwargs).serialize() == (path, kwargs)
    assert trigger.settle_s >= 5, "Airflow marks a try as failed whose trigger answers before it has seen its worker go"

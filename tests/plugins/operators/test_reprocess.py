"""The reprocess of one interval, on a platform that behaves."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from jobs.pipelines import find_pipeline
from jobs.version import fingerprint
from millrace.lake.serving import begin_serving
from millrace.operators.reprocess import ReprocessOperator
from millrace.platforms.protocol import JobState
from millrace.supervision.connection import Connection
from millrace.triggers.events import status_to_json
from millrace.triggers.spark_job import SparkJobTrigger
from tests.plugins.lake.raw_rows import local_environment
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

RETRIES = 2


@dataclass(frozen=True)
class Try:
    try_number: int = 1
    asked: int = 1
    map_index: int | None = 0
    run_id: str = "backfill__2026-11-20T02:00:00+00:00"

    @property
    def max_tries(self) -> int:
        return self.asked - 1 + RETRIES


class Trigger(SparkJobTrigger):
    connection: Connection

    def connect(self) -> Connection:
        return self.connection


class Operator(ReprocessOperator):
    connection: Connection

    def connect(self) -> Connection:
        return self.connection


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture
def task(platform: FakePlatform, tmp_path: Path) -> Operator:
    certificate = {"raw_version": 7, "coverage": {"0": 100}}
    task = Operator(
        task_id="reprocess",
        pipeline="stock_high_low",
        interval="20261119T000000Z",
        certificate=certificate,
        retries=RETRIES,
    )
    task.connection = Connection(local_environment(tmp_path), platform, FolderNotes(tmp_path))
    return task


def execute(task: Operator, ti: Try) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        task.execute({"ti": ti})
    return raised.value


def ended(platform: FakePlatform, job_id: str, code: int) -> dict[str, Any]:
    return {"job_id": job_id, **status_to_json(platform.end(job_id, code))}


def resume(task: Operator, ti: Try, deferral: TaskDeferred, event: dict[str, Any]) -> object:
    return task.resume({"ti": ti}, {"owner": deferral.trigger.owner, **event})


def test_the_job_is_told_what_to_reprocess_and_the_task_returns_its_run(task: Operator, platform: FakePlatform) -> None:
    deferral = execute(task, Try())
    (job,) = platform.submitted
    told = dict(zip(job.arguments[1::2], job.arguments[2::2], strict=True))
    assert job.arguments[0] == "reprocess"
    assert told == {
        "--pipeline": "stock_high_low",
        "--interval": "20261119T000000Z",
        "--run": job.owner,
        "--version": fingerprint(find_pipeline("stock_high_low")),
        "--raw-version": "7",
        "--coverage": '{"0": 100}',
        "--lake": task.connection.environment.lake,
    }
    assert resume(task, Try(), deferral, ended(platform, "job-0", 0)) == job.owner


def test_it_runs_the_served_version_whatever_the_code_here_is(task: Operator, platform: FakePlatform) -> None:
    begin_serving(task.connection.environment, find_pipeline("stock_high_low"), "0123456789ab", by="a test")
    execute(task, Try())
    task.version = "ba9876543210"
    execute(task, Try(map_index=1))
    versions = [job.arguments[job.arguments.index("--version") + 1] for job in platform.submitted]
    assert versions == ["0123456789ab", "ba9876543210"]
    assert [job.code.version for job in platform.submitted if job.code] == versions


def test_every_try_and_every_mapped_task_has_a_run_of_its_own(task: Operator, platform: FakePlatform) -> None:
    for number, ti in enumerate([Try(), Try(2), Try(map_index=1), Try(run_id="manual__x")]):
        execute(task, ti)
        platform.end(f"job-{number}", 1)
    assert len({job.owner for job in platform.submitted}) == 4


def test_a_retry_adopts_the_job_that_still_runs_and_its_run(task: Operator, platform: FakePlatform) -> None:
    execute(task, Try())
    deferral = execute(task, Try(2))
    assert len(platform.submitted) == 1
    assert resume(task, Try(2), deferral, ended(platform, "job-0", 0)) == platform.submitted[0].owner


def test_the_event_of_the_trigger_is_all_that_the_task_needs(task: Operator, platform: FakePlatform) -> None:
    """`airflow dags test` hands it nothing else."""

    async def fired(trigger: Trigger) -> dict[str, Any]:
        async for event in trigger.run():
            return dict(event.payload)
        raise AssertionError("the trigger ended without an event")

    _, kwargs = execute(task, Try()).trigger.serialize()
    trigger = Trigger(**{**kwargs, "settle_s": 0.01, "poll_s": 0.01})
    trigger.connection = task.connection
    platform.end("job-0", 0)
    assert task.resume({"ti": Try()}, asyncio.run(fired(trigger))) == platform.submitted[0].owner


def test_a_cleared_task_starts_a_new_job_while_the_old_one_is_being_cancelled(
    task: Operator, platform: FakePlatform
) -> None:
    old = execute(task, Try())
    new = execute(task, Try(2, asked=2))
    assert old.trigger.job_id != new.trigger.job_id
    path, kwargs = old.trigger.serialize()
    assert path == "millrace.triggers.spark_job.SparkJobTrigger"
    trigger = Trigger(**kwargs)
    trigger.connection = task.connection
    asyncio.run(trigger.on_kill())
    assert platform.cancelled == [old.trigger.job_id]
    assert platform.state(new.trigger.job_id).state is JobState.RUNNING


def test_a_failed_job_may_be_tried_again_and_shows_why(task: Operator, platform: FakePlatform) -> None:
    deferral = execute(task, Try())
    with pytest.raises(AirflowException, match="exit code 1; last error: ValueError: no such column") as raised:
        resume(task, Try(), deferral, ended(platform, "job-0", 1))
    assert not isinstance(raised.value, AirflowFailException)


def test_a_bad_declaration_is_not_tried_again(task: Operator, platform: FakePlatform) -> None:
    deferral = execute(task, Try())
    with pytest.raises(AirflowFailException, match="correct the declaration"):
        resume(task, Try(), deferral, ended(platform, "job-0", 2))


def test_an_interval_that_is_none_fails_for_good(task: Operator) -> None:
    task.interval = "20261119T050000Z"
    with pytest.raises(AirflowFailException, match="does not start an interval"):
        task.execute({"ti": Try()})


def test_a_task_that_is_killed_in_a_worker_cancels_its_job(task: Operator, platform: FakePlatform) -> None:
    execute(task, Try())
    task.on_kill()
    assert platform.cancelled == ["job-0"]

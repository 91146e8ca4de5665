"""The redecode of a topic as a task, on a platform that behaves."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from jobs.errors import MillraceError
from millrace.environment import Environment, StorageAccount
from millrace.operators.redecode import RedecodeOperator
from millrace.supervision.connection import Connection
from millrace.triggers.events import status_to_json
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

STORAGE = StorageAccount("account", "lake", "http://127.0.0.1:1/account", Path("key"))
ENVIRONMENT = Environment("test", "fake", "127.0.0.1:2", {}, "abfs://lake", STORAGE)
RETRIES = 2


@dataclass(frozen=True)
class Try:
    try_number: int = 1
    asked: int = 1
    map_index: int | None = -1
    run_id: str = "manual__2026-11-20T02:00:00+00:00"

    @property
    def max_tries(self) -> int:
        return self.asked - 1 + RETRIES


class Operator(RedecodeOperator):
    connection: Connection

    def connect(self) -> Connection:
        return self.connection


@pytest.fixture
def platform() -> FakePlatform:
    return FakePlatform()


@pytest.fixture
def notes(tmp_path: Path) -> FolderNotes:
    return FolderNotes(tmp_path)


@pytest.fixture
def task(platform: FakePlatform, notes: FolderNotes) -> Operator:
    task = Operator(task_id="redecode", topic="stock_ticks", retries=RETRIES)
    task.connection = Connection(ENVIRONMENT, platform, notes)
    return task


def execute(task: Operator, ti: Try) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        task.execute({"ti": ti})
    return raised.value


def resume(task: Operator, platform: FakePlatform, deferral: TaskDeferred) -> Any:
    event = {"job_id": "job-0", **status_to_json(platform.end("job-0", 0))}
    return task.resume({"ti": Try()}, event, **(deferral.kwargs or {}))


def test_the_task_returns_what_its_job_left_on_the_lake(
    task: Operator, platform: FakePlatform, notes: FolderNotes
) -> None:
    deferral = execute(task, Try())
    (job,) = platform.submitted
    assert job.arguments == ("redecode", "--topic", "stock_ticks", "--run", job.owner, "--lake", "abfs://lake")
    notes.write_json(f"runs/redecode__stock_ticks/{job.owner}.json", {"moved": 3})
    assert resume(task, platform, deferral) == {"moved": 3}


def test_a_retry_adopts_the_job_that_still_runs_and_its_result(
    task: Operator, platform: FakePlatform, notes: FolderNotes
) -> None:
    execute(task, Try())
    deferral = execute(task, Try(2))
    (job,) = platform.submitted
    notes.write_json(f"runs/redecode__stock_ticks/{job.owner}.json", {"moved": 3})
    assert resume(task, platform, deferral) == {"moved": 3}


def test_a_cleared_task_and_another_run_have_jobs_of_their_own(task: Operator, platform: FakePlatform) -> None:
    for ti in (Try(), Try(2, asked=2), Try(run_id="manual__x")):
        execute(task, ti)
    assert len({job.name for job in platform.submitted}) == 3
    assert len({job.owner for job in platform.submitted}) == 3


def test_a_result_that_is_missing_is_an_error(task: Operator, platform: FakePlatform) -> None:
    deferral = execute(task, Try())
    with pytest.raises(MillraceError, match=r"runs/redecode__stock_ticks/.*\.json is not on the lake; clear this task"):
        resume(task, platform, deferral)


def test_a_topic_that_is_not_declared_fails_for_good(task: Operator) -> None:
    task.topic = "nonsense"
    with pytest.raises(AirflowFailException, match="topic 'nonsense' is not declared"):
        task.execute({"ti": Try()})

"""The redecode of a topic as a task, on a platform that behaves."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment, StorageAccount
from millrace.operators.redecode import RedecodeOperator
from millrace.supervision.connection import Connection
from millrace.triggers.events import status_to_json
from tests.plugins.lake.raw_rows import archive, local_environment, publish_read
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
    event = {"job_id": "job-0", "owner": deferral.trigger.owner, **status_to_json(platform.end("job-0", 0))}
    return task.resume({"ti": Try()}, event)


def test_the_task_returns_what_its_job_left_on_the_lake(
    task: Operator, platform: FakePlatform, notes: FolderNotes
) -> None:
    deferral = execute(task, Try())
    (job,) = platform.submitted
    assert job.arguments == ("redecode", "--topic", "stock_ticks", "--run", job.owner, "--lake", "abfs://lake")
    notes.write_json(f"runs/redecode__stock_ticks/{job.owner}.json", {"moved": 3, "days": {}})
    assert resume(task, platform, deferral) == {"moved": 3, "days": {}}


def test_its_log_names_the_intervals_that_no_nightly_run_repairs(
    task: Operator, platform: FakePlatform, notes: FolderNotes, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    environment, now = local_environment(tmp_path), datetime.now(UTC)
    task.connection = replace(task.connection, environment=environment)
    old = Interval.of(now - timedelta(days=40), stock_high_low.interval)
    archive(environment, old.start, old.start)
    publish_read(environment, stock_high_low, old, 1)
    deferral = execute(task, Try())
    days = {old.start.date().isoformat(): 1}
    notes.write_json(f"runs/redecode__stock_ticks/{platform.submitted[0].owner}.json", {"moved": 1, "days": days})
    resume(task, platform, deferral)
    (warning,) = [line for line in capsys.readouterr().out.splitlines() if "millrace repair" in line]
    assert "[warning" in warning
    assert f"{old.id}; repair them with `millrace repair stock_high_low --within " in warning


def test_a_retry_adopts_the_job_that_still_runs_and_its_result(
    task: Operator, platform: FakePlatform, notes: FolderNotes
) -> None:
    execute(task, Try())
    deferral = execute(task, Try(2))
    (job,) = platform.submitted
    notes.write_json(f"runs/redecode__stock_ticks/{job.owner}.json", {"moved": 3, "days": {}})
    assert resume(task, platform, deferral) == {"moved": 3, "days": {}}


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

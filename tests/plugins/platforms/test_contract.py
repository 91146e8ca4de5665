"""What every platform does: one body of tests, on the local one and on Databricks' API, for streams and for batch."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import MillraceError
from millrace.platforms.local import LocalPlatform
from millrace.platforms.protocol import JobState, SparkJob, SparkPlatform
from millrace.waiting import until
from tests.plugins.platforms.databricks.drivers import platform_of
from tests.plugins.platforms.databricks.server import serve
from tests.plugins.platforms.databricks.workspace import Workspace

SLEEP = "import time; print('started', flush=True); time.sleep(600)"
STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN);" + SLEEP
PATIENCE, SOON = timedelta(seconds=20), timedelta(seconds=0.05)


@dataclass
class Place:
    """A platform, made anew by each `platform()` as another process would, and what its jobs are called with."""

    platform: Callable[[], SparkPlatform]
    kind: str
    is_batch: bool = False

    def job(self, script: str, name: str = "query", owner: str = "run.1") -> SparkJob:
        return SparkJob(name, (self.kind, script), owner)

    def ended(self, job_id: str) -> JobState:
        assert until(lambda: self.platform().settled_state(job_id).state is not JobState.RUNNING, PATIENCE, SOON)
        return self.platform().state(job_id).state

    def started(self, job_id: str) -> None:
        """The driver writes: on Databricks the cluster has delivered it."""
        assert until(lambda: "started" in self.platform().logs(job_id, 5), PATIENCE, SOON)


@pytest.fixture(params=["local", "databricks batch", "databricks stream"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Place]:
    if request.param == "local":
        local = LocalPlatform(tmp_path, lambda job, _: ([sys.executable, "-c", job.arguments[-1]], {}))
        yield Place(lambda: local, "reprocess")
        for running in local.live_jobs():
            local.cancel(running.id, timedelta(0))
        return
    with serve(Workspace(tmp_path)) as server:
        kind = "archive" if request.param.endswith("stream") else "reprocess"
        yield Place(lambda: platform_of(server), kind, is_batch=kind == "reprocess")
        assert server.unfit == []


@pytest.mark.parametrize(
    ("ending", "state", "code"),
    [
        ("pass", JobState.SUCCEEDED, 0),
        ("raise SystemExit(3)", JobState.FAILED, 3),
        ("raise SystemExit(4)", JobState.FAILED, 4),
        ("raise ValueError('no')", JobState.FAILED, 1),
    ],
)
def test_an_ended_job_tells_its_exit_code_and_its_last_lines(
    place: Place, ending: str, state: JobState, code: int
) -> None:
    running = place.platform().submit(place.job(f"for n in range(50): print('line', n)\n{ending}"))
    assert place.ended(running.id) is state
    status = place.platform().state(running.id)
    assert (status.state, status.exit_code) == (state, code)
    assert status.ended_at is not None
    assert status.ended_at >= status.started_at
    assert "line 49" in place.platform().logs(running.id, 50)


def test_a_live_job_is_found_by_its_name_until_it_ends(place: Place) -> None:
    running = place.platform().submit(place.job(SLEEP, owner="first.7"))
    assert place.platform().find("query") == running
    assert (running.owner, running.name, running.arguments) == ("first.7", "query", (place.kind, SLEEP))
    assert place.platform().find("other") is None
    assert place.platform().state(running.id).state is JobState.RUNNING
    place.platform().cancel(running.id, timedelta(seconds=1))
    assert place.platform().find("query") is None
    assert place.platform().state(running.id).state is JobState.CANCELLED


def test_a_second_submission_returns_the_live_job_and_its_owner(place: Place) -> None:
    first = place.platform().submit(place.job(SLEEP, owner="first.1"))
    assert place.platform().submit(place.job(SLEEP, owner="second.1")) == first


def test_many_who_submit_at_once_start_one_job(place: Place) -> None:
    jobs = [place.job(SLEEP, owner=f"run.{number}") for number in range(6)]
    with ThreadPoolExecutor(6) as pool:
        found = list(pool.map(lambda job: place.platform().submit(job), jobs))
    assert len({running.id for running in found}) == 1
    assert len({running.owner for running in found}) == 1


def test_jobs_of_two_names_are_two_jobs(place: Place) -> None:
    ids = {place.platform().submit(place.job(SLEEP, name)).id for name in ("query", "query.20261121T000000Z")}
    assert len(ids) == 2


def test_live_jobs_are_listed_and_the_last_one_of_a_stream_is_known_when_it_has_ended(place: Place) -> None:
    jobs = [place.platform().submit(place.job(SLEEP, name)) for name in ("query", "other")]
    assert place.platform().live_jobs() == jobs
    assert all(place.platform().log_place(running.id) for running in jobs)
    place.platform().cancel(jobs[1].id, timedelta(seconds=1))
    assert place.platform().live_jobs() == jobs[:1]
    assert place.platform().last_job("never started") is None
    if not place.is_batch:
        assert place.platform().last_job("other") == jobs[1].id
        assert place.platform().last_job("query") == jobs[0].id


def test_a_name_whose_job_has_ended_starts_again(place: Place) -> None:
    first = place.platform().submit(place.job("raise SystemExit(1)"))
    assert place.ended(first.id) is JobState.FAILED
    second = place.platform().submit(place.job("pass"))
    assert place.ended(second.id) is JobState.SUCCEEDED
    assert second.id != first.id
    assert place.platform().state(first.id).exit_code == 1


def test_a_stubborn_job_is_ended_by_force(place: Place) -> None:
    running = place.platform().submit(place.job(STUBBORN))
    place.started(running.id)
    place.platform().cancel(running.id, timedelta(milliseconds=200))
    assert place.platform().state(running.id).state is JobState.CANCELLED


def test_an_ended_job_is_left_alone_by_cancel(place: Place) -> None:
    running = place.platform().submit(place.job("pass"))
    place.ended(running.id)
    place.platform().cancel(running.id)
    assert place.platform().state(running.id).state is JobState.SUCCEEDED


@pytest.mark.parametrize("job_id", ["20200101T000000000000-abc--query", "4711"])
def test_an_unknown_job_is_an_error(place: Place, job_id: str) -> None:
    asked: list[Callable[[], Any]] = [
        lambda: place.platform().state(job_id),
        lambda: place.platform().cancel(job_id),
    ]
    for ask in asked:
        with pytest.raises(MillraceError, match=job_id):
            ask()

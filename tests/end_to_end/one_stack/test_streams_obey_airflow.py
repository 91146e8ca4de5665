"""What a person does to a stream's DAG and task in Airflow, and what the stream then does."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from millrace.platforms import platform_for
from millrace.platforms.protocol import RunningJob
from tests.end_to_end.streams import ARCHIVE, Streams, await_true
from tests.faults.signals import kill

pytestmark = [pytest.mark.long, pytest.mark.timeout(1200)]

TASK = "stream"


class Person:
    """Somebody at Airflow's UI, with the archive stream's only run before them."""

    def __init__(self, streams: Streams) -> None:
        self.streams, self.client = streams, streams.airflow
        self.run = next(run["dag_run_id"] for run in self.client.runs(ARCHIVE) if run["state"] == "running")
        self._run = f"/dags/{ARCHIVE}/dagRuns/{quote(self.run, safe='')}"

    def state(self) -> str | None:
        return next(task.state for task in self.client.tasks(ARCHIVE, self.run) if task.task_id == TASK)

    def await_state(self, state: str) -> None:
        await_true(f"{ARCHIVE} {state}", lambda: self.state() == state)

    def mark(self, state: str) -> None:
        self.client.api.patch(f"{self._run}/taskInstances/{TASK}", {"new_state": state})

    def clear(self) -> None:
        """As the UI does unless it is told otherwise: with what comes after the task, however that has ended."""
        which = {"dag_run_id": self.run, "task_ids": [TASK], "include_downstream": True, "only_failed": False}
        self.client.api.post(f"/dags/{ARCHIVE}/clearTaskInstances", {"dry_run": False, **which})

    def running(self) -> RunningJob | None:
        return platform_for(self.streams.environment).find(ARCHIVE)

    def await_stopped(self, job: RunningJob) -> None:
        """And the run is over, or else Airflow, which is about to end it, forgets what is cleared."""
        await_true(f"the end of {ARCHIVE}", lambda: self.running() is None and not self.streams.processes(job))
        await_true("the end of the run", lambda: self.client.run_state(ARCHIVE, self.run) in ("success", "failed"))

    def await_another(self, before: RunningJob) -> RunningJob:
        """Another driver, alone, whose task waits for it."""
        job = await_true("another driver", lambda: (job := self.running()) and job.id != before.id and job)
        self.await_state("deferred")
        return job


def test_a_driver_that_dies_while_its_dag_is_paused_comes_back_when_it_is_unpaused(settled: Streams) -> None:
    person = Person(settled)
    before = settled.driver(ARCHIVE)
    person.await_state("deferred")
    person.client.pause(ARCHIVE)
    batch = settled.last_batch(ARCHIVE, "commits")
    assert settled.driver(ARCHIVE).id == before.id, "pausing does not stop it"
    kill(settled.processes(before))
    person.await_state("scheduled")
    assert person.running() is None
    person.client.unpause(ARCHIVE)
    person.await_another(before)
    settled.settle()
    assert settled.last_batch(ARCHIVE, "commits") >= batch


@pytest.mark.parametrize("ended", ["failed", "success"])
def test_a_stream_whose_task_is_marked_stops_cleanly_and_starts_when_it_is_cleared(
    settled: Streams, ended: str
) -> None:
    person = Person(settled)
    before = settled.driver(ARCHIVE)
    person.await_state("deferred")
    assert settled.processes(before)
    person.mark(ended)
    person.await_stopped(before)
    assert settled.last_batch(ARCHIVE, "offsets") == settled.last_batch(ARCHIVE, "commits"), "cut off in a micro-batch"
    assert person.state() == ended
    person.clear()
    person.await_another(before)


def test_a_stream_whose_task_is_cleared_starts_again(settled: Streams) -> None:
    person = Person(settled)
    before = settled.driver(ARCHIVE)
    person.await_state("deferred")
    person.clear()
    person.await_another(before)
    assert settled.processes(before) == []
    settled.settle()

"""What a person does to a stream's DAG and task in Airflow, and what the stream then does."""

from __future__ import annotations

from urllib.parse import quote

import pytest

from millrace.home import Home
from millrace.platforms import platform_for
from millrace.platforms.protocol import RunningJob
from millrace.stack.airflow import AIRFLOW_PROCESSES, health
from millrace.stack.process_record import load_records
from millrace.supervision.restart_policy import RestartPolicy
from tests.end_to_end.streams import ARCHIVE, Streams, await_true
from tests.faults.signals import kill

pytestmark = [pytest.mark.release, pytest.mark.timeout(1200)]

TASK = "stream"


class Person:
    """Somebody at Airflow's UI, with the archive stream's only run before them."""

    def __init__(self, streams: Streams) -> None:
        self.streams, self.client = streams, streams.airflow
        self.run = next(run["dag_run_id"] for run in self.client.runs(ARCHIVE) if run["state"] == "running")
        self._run = f"/dags/{ARCHIVE}/dagRuns/{quote(self.run, safe='')}"

    def state(self) -> str | None:
        return next(task.state for task in self.client.tasks(ARCHIVE, self.run) if task.task_id == TASK)

    def log(self) -> list[str]:
        """Of the task's last try: it was cleared before."""
        last = next(task for task in self.client.tasks(ARCHIVE, self.run) if task.task_id == TASK)
        return self.client.task_log(ARCHIVE, self.run, TASK, last.try_number)

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

    def words_of(self, job: RunningJob) -> list[str]:
        """What the driver itself has said, not Spark."""
        return [line for line in platform_for(self.streams.environment).logs(job.id, 600) if "millrace: " in line]

    def await_successor(self, job: RunningJob) -> RunningJob | None:
        """The driver that follows `job`; None where the task has failed instead."""
        failed = await_true("another driver, or the end", lambda: self.state() == "failed" or self._other(job))
        return self._other(job) if failed is not True else None

    def _other(self, job: RunningJob) -> RunningJob | None:
        return found if (found := self.running()) and found.id != job.id else None

    def await_stopped(self, job: RunningJob) -> None:
        await_true(f"the end of {ARCHIVE}", lambda: self.running() is None and not self.streams.processes(job))
        self.await_end_of_run()

    def await_end_of_run(self) -> None:
        """Before anything is cleared, or else Airflow, which is about to end the run, forgets it."""
        await_true("the end of the run", lambda: self.client.run_state(ARCHIVE, self.run) in ("success", "failed"))

    def await_another(self, before: RunningJob) -> RunningJob:
        """Another driver, alone, whose task waits for it."""
        job = await_true("another driver", lambda: self._other(before))
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


def test_a_stream_outlives_every_process_of_airflow_and_is_supervised_by_those_that_follow(settled: Streams) -> None:
    person, home = Person(settled), Home.current()
    before = settled.driver(ARCHIVE)
    person.await_state("deferred")
    dead = [record for record in load_records(home) if record.name in AIRFLOW_PROCESSES]
    assert len(dead) == len(AIRFLOW_PROCESSES)
    kill([process for record in dead if (process := record.process())])

    def are_back() -> bool:
        processes = {record.pid for record in load_records(home) if record.is_running}
        return not processes & {record.pid for record in dead} and set(health(home).values()) == {"healthy"}

    await_true("other processes of Airflow, all healthy", are_back)
    assert settled.driver(ARCHIVE).id == before.id
    assert settled.processes(before), "the driver outlived them"
    person.await_state("deferred")
    kill(settled.processes(before))
    person.await_another(before)


def test_a_stream_whose_drivers_keep_dying_is_given_up_and_says_why_with_the_drivers_last_words(
    settled: Streams,
) -> None:
    person, job = Person(settled), settled.driver(ARCHIVE)
    deaths, last = 0, job
    while job:
        last, words = job, await_true("the driver's first words", lambda job=job: person.words_of(job))
        kill(settled.processes(job))
        deaths += 1
        job = person.await_successor(job)
    assert 1 < deaths <= RestartPolicy().max_quick_failures
    log = "\n".join(person.log())
    for part in ("5 drivers in a row ended within 10 min, the limit is 5", "exit code 137", *words):
        assert part in log
    person.await_end_of_run()
    person.clear()
    person.await_another(last)

"""Two versions of a speed layer under supervision: which one runs, and how the one takes the other's place."""

from __future__ import annotations

import asyncio
import logging
from datetime import timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from jobs.lake import speed_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.builders.stream_jobs import served_speed_job, speed_job
from millrace.lake.serving import begin_serving, current_serving, rollback, switch
from millrace.operators.candidate_stream import CandidateStreamOperator
from millrace.platforms.protocol import JobState, JobStatus, RunningJob
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from tests.plugins.lake.raw_rows import local_environment
from tests.plugins.operators.test_spark_stream import RETRIES, Operator, Place, Try, ended
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

NAME = stock_high_low.name
SECOND = timedelta(seconds=1)
OLD, NEW = "0123456789ab", fingerprint(stock_high_low)
OLD_STREAM, NEW_STREAM = speed_stream(NAME, OLD), speed_stream(NAME, NEW)
SPEED, UPGRADE = Try(run_id="speed"), Try(run_id="upgrade")


class Obedient(FakePlatform):
    """Its drivers stop when they are asked to."""

    notes: FolderNotes

    def find(self, name: str) -> RunningJob | None:
        running = super().find(name)
        request = StreamControl(self.notes, name).stop_request()
        if running and request and request.targets(running.owner):
            self.end(running.id, 0)
            return None
        return running

    def state(self, job_id: str) -> JobStatus:
        for running in self._jobs.values():
            self.find(running.name)
        return super().state(job_id)


class Candidate(CandidateStreamOperator, Operator):
    pass


class SpeedTask(Place):
    """The task of the speed layer's DAG."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.environment = local_environment(folder)
        self.platform = Obedient()
        self.platform.notes = self.notes
        self.connection = Connection(self.environment, self.platform, self.notes)

    def _task(self) -> Operator:
        job = partial(served_speed_job, stock_high_low, SECOND)
        task = Operator(task_id="stream", query=speed_query(NAME), make_job=job, follows=NAME, retries=RETRIES)
        task.place = self
        return task

    def serve_old(self) -> TaskDeferred:
        """The task, supervising the old version's driver."""
        begin_serving(self.environment, stock_high_low, OLD, by="a test")
        return self.execute(SPEED)

    def live(self) -> list[str]:
        return [stream for stream in (OLD_STREAM, NEW_STREAM) if self.platform.find(stream)]


class CandidateTask(Place):
    """The task of the upgrade's DAG, in the same place."""

    def __init__(self, speed: SpeedTask) -> None:
        vars(self).update(vars(speed))

    def _task(self) -> Operator:
        job = partial(speed_job, NAME, trigger=SECOND)
        # Templates are rendered as text.
        task = Candidate(task_id="candidate", pipeline=NAME, version=NEW, since="1", make_job=job, retries=RETRIES)
        task.place = self
        return task

    def run_to_end(self, ti: Try) -> None:
        self._task().execute({"ti": ti})


@pytest.fixture
def speed(tmp_path: Path) -> SpeedTask:
    return SpeedTask(tmp_path)


@pytest.fixture
def candidate(speed: SpeedTask) -> CandidateTask:
    return CandidateTask(speed)


def fires_nothing(place: Place, deferral: TaskDeferred) -> bool:
    async def first() -> None:
        async for _ in place.reload(deferral).run():
            return

    async def within() -> bool:
        with pytest.raises(asyncio.TimeoutError):
            await asyncio.wait_for(first(), 0.5)
        return True

    return asyncio.run(within())


def handed_over(place: Place, deferral: TaskDeferred) -> dict[str, Any]:
    event = place.fire(deferral)
    assert event == {"handed_over": True}
    return event


def test_the_first_version_that_runs_is_served_from_then_on(speed: SpeedTask) -> None:
    deferral = speed.execute(SPEED)
    serving = current_serving(speed.environment, stock_high_low)
    assert serving is not None
    assert serving.versions == (NEW,)
    (job,) = speed.platform.submitted
    assert (job.name, job.code and job.code.version) == (NEW_STREAM, NEW)
    assert fires_nothing(speed, deferral)


def test_after_a_deploy_the_served_version_goes_on_with_its_own_code_and_the_log_says_so(
    speed: SpeedTask, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        deferral = speed.serve_old()
    (job,) = speed.platform.submitted
    assert (job.name, job.code and job.code.version) == (OLD_STREAM, OLD)
    assert job.arguments[job.arguments.index("--version") + 1] == OLD
    assert f"version {OLD} is served and runs on; the code here is version {NEW}" in caplog.text
    assert "stock_high_low__upgrade" in caplog.text
    again = speed.resume(SPEED, deferral, ended(speed, "job-0", 1))
    assert speed.resume(SPEED, again, {"unreachable": None}).trigger.query == OLD_STREAM


def test_a_candidate_runs_beside_the_served_version_until_it_is_served(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    serving, trying = speed.serve_old(), candidate.execute(UPGRADE)
    assert speed.live() == [OLD_STREAM, NEW_STREAM]
    assert fires_nothing(speed, serving)
    assert fires_nothing(candidate, trying)


def test_after_a_switch_the_old_driver_stops_and_the_candidates_is_adopted_without_a_restart(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    serving, trying = speed.serve_old(), candidate.execute(UPGRADE)
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="", expected=OLD)
    assert fires_nothing(candidate, trying), "nobody has adopted its driver yet"
    adopted = speed.resume(SPEED, serving, handed_over(speed, serving))
    assert speed.live() == [NEW_STREAM]
    assert (adopted.trigger.query, adopted.trigger.job_id) == (NEW_STREAM, "job-1")
    assert len(speed.platform.submitted) == 2
    assert speed.platform.cancelled == []
    candidate.succeed(UPGRADE, trying, handed_over(candidate, trying))
    candidate.kill(trying)
    assert speed.live() == [NEW_STREAM], "it is the speed layer's now"
    assert fires_nothing(speed, adopted)


def test_a_rollback_is_followed_too_with_the_old_versions_code(speed: SpeedTask, candidate: CandidateTask) -> None:
    serving, _ = speed.serve_old(), candidate.execute(UPGRADE)
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    adopted = speed.resume(SPEED, serving, handed_over(speed, serving))
    rollback(speed.environment, stock_high_low, by="a test", reason="wrong")
    back = speed.resume(SPEED, adopted, handed_over(speed, adopted))
    assert speed.live() == [OLD_STREAM]
    assert back.trigger.job_id == "job-2"
    assert [job.code.version for job in speed.platform.submitted if job.code] == [OLD, NEW, OLD]


def test_a_try_that_is_lost_in_the_hand_over_is_made_good_by_the_next(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    speed.serve_old(), candidate.execute(UPGRADE)
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    adopted = speed.execute(SPEED.retried())
    assert speed.live() == [NEW_STREAM]
    assert adopted.trigger.job_id == "job-1"


def test_a_version_that_is_served_while_the_driver_of_another_has_ended_is_started(speed: SpeedTask) -> None:
    serving = speed.serve_old()
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    waiting = speed.resume(SPEED, serving, ended(speed, "job-0", 1))
    assert speed.resume(SPEED, waiting, {"unreachable": None}).trigger.query == NEW_STREAM


def test_a_stop_that_a_person_asked_for_of_the_driver_that_ended_is_heeded(speed: SpeedTask) -> None:
    serving = speed.serve_old()
    StreamControl(speed.notes, OLD_STREAM).request_stop("*", "teardown")
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    speed.succeed(SPEED, serving, ended(speed, "job-0", 0))
    assert len(speed.platform.submitted) == 1


def test_a_candidate_that_was_rolled_back_before_anybody_adopted_it_stops_its_driver_and_ends(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    serving, trying = speed.serve_old(), candidate.execute(UPGRADE)
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    rollback(speed.environment, stock_high_low, by="a test", reason="wrong")
    candidate.succeed(UPGRADE, trying, handed_over(candidate, trying))
    assert speed.live() == [OLD_STREAM]
    assert fires_nothing(speed, serving)


def test_a_candidate_that_was_overtaken_stops_its_driver_and_ends(speed: SpeedTask, candidate: CandidateTask) -> None:
    _, trying = speed.serve_old(), candidate.execute(UPGRADE)
    switch(speed.environment, stock_high_low, "a" * 12, by="a test", reason="another one")
    candidate.succeed(UPGRADE, trying, handed_over(candidate, trying))
    assert NEW_STREAM not in speed.live()


def test_a_candidate_that_was_rolled_back_after_the_speed_layers_task_had_adopted_it_ends(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    serving, trying = speed.serve_old(), candidate.execute(UPGRADE)
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    adopted = speed.resume(SPEED, serving, handed_over(speed, serving))
    rollback(speed.environment, stock_high_low, by="a test", reason="wrong")
    speed.resume(SPEED, adopted, handed_over(speed, adopted))
    candidate.succeed(UPGRADE, trying, ended(candidate, "job-1", 0))
    assert speed.live() == [OLD_STREAM]
    assert len(speed.platform.submitted) == 3


def test_a_rolled_back_candidate_is_not_started_again_by_a_lost_try_or_a_clear(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    speed.serve_old()
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    rollback(speed.environment, stock_high_low, by="a test", reason="wrong")
    for ti in (UPGRADE.retried(), UPGRADE.cleared()):
        candidate.run_to_end(ti)
    assert speed.live() == [OLD_STREAM]


def test_marking_the_candidate_stops_it_and_nothing_of_the_served_version(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    speed.serve_old()
    candidate.kill(candidate.execute(UPGRADE))
    assert speed.live() == [OLD_STREAM]
    assert speed.platform.state("job-1").state is JobState.SUCCEEDED


def test_a_candidate_that_keeps_failing_is_given_up_and_the_served_version_runs_on(
    speed: SpeedTask, candidate: CandidateTask
) -> None:
    speed.serve_old()
    trying = candidate.execute(UPGRADE)
    for number in range(1, 5):
        waiting = candidate.resume(UPGRADE, trying, ended(candidate, f"job-{number}", 1))
        trying = candidate.resume(UPGRADE, waiting, {"unreachable": None})
    with pytest.raises(AirflowFailException, match="the limit is 5"):
        candidate.resume(UPGRADE, trying, ended(candidate, "job-5", 1))
    assert speed.live() == [OLD_STREAM]


def test_who_cannot_find_out_what_is_served_goes_on_as_before(
    speed: SpeedTask, monkeypatch: pytest.MonkeyPatch
) -> None:
    serving = speed.serve_old()
    switch(speed.environment, stock_high_low, NEW, by="a test", reason="")
    monkeypatch.setattr("millrace.triggers.spark_stream.served_stream", lambda *_: 1 / 0)
    assert fires_nothing(speed, serving)

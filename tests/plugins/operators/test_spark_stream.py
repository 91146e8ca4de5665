"""The supervision of a stream, step by step, on a platform that behaves."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from jobs.errors import MillraceError
from millrace.environment import Environment, StorageAccount
from millrace.operators.spark_stream import SparkStreamOperator
from millrace.platforms.protocol import JobState, SparkJob
from millrace.supervision.broker_proof import note_broker_check
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from millrace.supervision.generation import Generation
from millrace.triggers.events import status_to_json
from millrace.triggers.spark_stream import SparkStreamTrigger
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

LOG = logging.getLogger("millrace.spark_stream")
QUERY = "archive__ticks"
RETRIES = 20
STORAGE = StorageAccount("account", "lake", "http://127.0.0.1:1/account", Path("key"))
ENVIRONMENT = Environment("test", "fake", "127.0.0.1:2", {}, "abfs://lake", STORAGE)


@dataclass(frozen=True)
class Try:
    """A try of a task instance; `asked` is the last one that a person asked for, by running or clearing it."""

    try_number: int = 1
    asked: int = 1
    run_id: str = "scheduled__2000-01-01T00:00:00+00:00"
    map_index: int | None = -1

    @property
    def max_tries(self) -> int:
        return self.asked - 1 + RETRIES

    def retried(self) -> Try:
        return replace(self, try_number=self.try_number + 1)

    def cleared(self) -> Try:
        return replace(self, try_number=self.try_number + 1, asked=self.try_number + 1)


class Trigger(SparkStreamTrigger):
    place: Place

    def connect(self) -> Connection:
        return self.place.connection

    def unreachable(self) -> str | None:
        return self.place.missing


class Operator(SparkStreamOperator):
    """Its log is one that pytest sees."""

    log = LOG  # type: ignore[assignment]
    place: Place

    def connect(self) -> Connection:
        return self.place.connection

    def unreachable(self) -> str | None:
        return self.place.missing

    def trigger(self, query: str, generation: str, **kwargs: Any) -> Trigger:
        quick = {"settle_s": 0.01, "poll_s": 0.01, "patience_s": 0.05, "grace_s": 0.1, "follow_s": 0.01}
        trigger = Trigger(query, generation, follows=self.follows, **quick, **kwargs)
        trigger.place = self.place
        return trigger


class Place:
    """An environment, and what a scheduler, a worker and a triggerer do there."""

    def __init__(self, folder: Path) -> None:
        self.platform = FakePlatform()
        self.notes = FolderNotes(folder)
        self.control = StreamControl(self.notes, QUERY)
        self.connection = Connection(ENVIRONMENT, self.platform, self.notes)
        self.missing: str | None = None
        self.make_job: Callable[[Environment, str], SparkJob] = lambda environment, owner: SparkJob(
            QUERY, ("archive", "--lake", environment.lake, "--owner", owner), owner
        )

    def execute(self, ti: Try) -> TaskDeferred:
        return self._deferral(lambda task: task.execute({"ti": ti}))

    def resume(self, ti: Try, deferral: TaskDeferred, event: dict[str, Any]) -> TaskDeferred:
        assert deferral.method_name == "resume"
        return self._deferral(lambda task: task.resume({"ti": ti}, event, **(deferral.kwargs or {})))

    def fire(self, deferral: TaskDeferred) -> dict[str, Any]:
        """What the trigger fires, after a round trip through the database."""

        async def first() -> dict[str, Any]:
            async for event in self.reload(deferral).run():
                payload: dict[str, Any] = event.payload
                return payload
            raise AssertionError("fired nothing")

        return asyncio.run(asyncio.wait_for(first(), 5))

    def kill(self, deferral: TaskDeferred) -> None:
        asyncio.run(self.reload(deferral).on_kill())

    def reload(self, deferral: TaskDeferred) -> Trigger:
        path, kwargs = deferral.trigger.serialize()
        assert path == f"{__name__}.Trigger"
        trigger = Trigger(**kwargs)
        trigger.place = self
        return trigger

    def succeed(self, ti: Try, deferral: TaskDeferred, event: dict[str, Any]) -> None:
        self._task().resume({"ti": ti}, event, **(deferral.kwargs or {}))

    def _task(self) -> Operator:
        task = Operator(task_id="stream", query=QUERY, make_job=self.make_job, retries=RETRIES)
        task.place = self
        return task

    def _deferral(self, call: Callable[[Operator], object]) -> TaskDeferred:
        with pytest.raises(TaskDeferred) as raised:
            call(self._task())
        return raised.value


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path)


def test_a_stream_that_starts_is_told_whether_its_way_to_the_brokers_is_proven(
    place: Place, caplog: pytest.LogCaptureFixture
) -> None:
    place.execute(Try())
    assert "nobody has proven that Spark reaches the brokers of 127.0.0.1:2; clear the task `reached`" in caplog.text


@pytest.mark.parametrize("complaint", [None, "broker kafka-1:9092 is not reached: driver: no such name"])
def test_it_is_told_what_the_last_check_found(
    place: Place, caplog: pytest.LogCaptureFixture, complaint: str | None
) -> None:
    note_broker_check(place.notes, ENVIRONMENT, complaint)
    place.execute(Try())
    told = [record.getMessage() for record in caplog.records if "reache" in record.getMessage()]
    assert [each.partition(" UTC, ")[2] for each in told] == ([complaint] if complaint else [])


def ended(place: Place, job_id: str, code: int | None, **kwargs: Any) -> dict[str, Any]:
    return {"job_id": job_id, **status_to_json(place.platform.end(job_id, code, **kwargs))}


def test_a_first_try_starts_the_driver_with_its_own_token_and_defers(place: Place) -> None:
    deferral = place.execute(Try())
    (job,) = place.platform.submitted
    assert job.owner == str(Generation.of(Try()))
    assert "--owner" in job.arguments
    assert deferral.trigger.job_id == "job-0"
    assert deferral.timeout is None


def test_the_trigger_fires_when_the_driver_has_ended_and_outlasts_a_platform_that_does_not_answer(
    place: Place,
) -> None:
    deferral = place.execute(Try())
    place.platform.end("job-0", 1)
    place.platform.failures_to_answer = 3
    assert place.fire(deferral)["exit_code"] == 1


def test_a_job_that_the_platform_has_forgotten_is_lost(place: Place) -> None:
    deferral = place.execute(Try())
    place.platform._statuses.clear()
    assert place.fire(deferral)["state"] == "lost"


def test_a_retry_adopts_the_live_driver_of_the_try_before_it(place: Place) -> None:
    place.execute(Try())
    deferral = place.execute(Try().retried())
    assert len(place.platform.submitted) == 1
    assert deferral.trigger.job_id == "job-0"
    assert place.control.stop_request() is None


def test_a_new_run_adopts_a_driver_that_an_earlier_run_left_behind(place: Place) -> None:
    place.execute(Try(run_id="before"))
    assert place.execute(Try(run_id="after")).trigger.job_id == "job-0"
    assert len(place.platform.submitted) == 1


def test_a_failed_driver_is_restarted_after_a_delay_that_the_trigger_waits(place: Place) -> None:
    ti, watching = Try(), place.execute(Try())
    waiting = place.resume(ti, watching, ended(place, "job-0", 1))
    assert waiting.trigger.job_id is None
    wait = datetime.fromisoformat(waiting.trigger.not_before) - datetime.now(UTC)
    assert timedelta(seconds=4) < wait <= timedelta(seconds=5)
    again = place.resume(ti, waiting, {"unreachable": None})
    assert again.trigger.job_id == "job-1"
    assert again.kwargs == {"failures": 1, "owner": place.platform.submitted[1].owner, "stream": QUERY}


def test_five_quick_failures_fail_the_task_for_good_and_say_why(place: Place) -> None:
    ti, deferral = Try(), place.execute(Try())
    for number in range(4):
        waiting = place.resume(ti, deferral, ended(place, f"job-{number}", 1))
        deferral = place.resume(ti, waiting, {"unreachable": None})
    with pytest.raises(AirflowFailException) as raised:
        place.resume(ti, deferral, ended(place, "job-4", 1))
    message = str(raised.value)
    assert QUERY in message
    assert "limit is 5" in message
    assert "ValueError: no such column" in message
    assert len(place.platform.submitted) == 5


def test_a_stop_that_a_person_asked_for_ends_the_task_with_success(place: Place) -> None:
    deferral = place.execute(Try())
    place.control.request_stop("*", "teardown")
    place.succeed(Try(), deferral, ended(place, "job-0", 0))
    assert len(place.platform.submitted) == 1


def test_a_stop_that_was_asked_for_during_the_wait_is_heeded(place: Place) -> None:
    watching = place.execute(Try())
    waiting = place.resume(Try(), watching, ended(place, "job-0", 1))
    place.control.request_stop("*", "teardown")
    place.succeed(Try(), waiting, {"unreachable": None})
    assert len(place.platform.submitted) == 1


def test_a_stale_stop_request_does_not_stop_a_new_driver(place: Place) -> None:
    place.control.request_stop("*", "an old teardown")
    deferral = place.execute(Try())
    assert place.control.stop_request() is None
    place.control.request_stop("somebody-else.1", "late")
    waiting = place.resume(Try(), deferral, ended(place, "job-0", 0))
    assert waiting.kwargs is not None
    assert waiting.kwargs["failures"] == 1


def test_marking_the_task_stops_its_driver_gracefully(place: Place) -> None:
    deferral = place.execute(Try())
    trigger = place.reload(deferral)

    async def graceful_driver() -> None:
        while (request := await asyncio.to_thread(place.control.stop_request)) is None:
            await asyncio.sleep(0.01)
        assert request.targets(place.platform.submitted[0].owner)
        place.platform.end("job-0", 0)

    async def both() -> None:
        trigger.grace_s = 5.0
        await asyncio.gather(trigger.on_kill(), graceful_driver())

    asyncio.run(both())
    assert place.platform.find(QUERY) is None
    assert place.platform.cancelled == []


def test_a_driver_that_ignores_the_request_is_cancelled(place: Place) -> None:
    place.kill(place.execute(Try()))
    assert place.platform.cancelled == ["job-0"]


def test_marking_the_task_stops_its_driver_even_without_a_lake(place: Place) -> None:
    deferral = place.execute(Try())
    place.notes.is_down = True
    place.kill(deferral)
    assert place.platform.cancelled == ["job-0"]


def test_an_old_try_does_not_stop_the_driver_that_a_new_try_adopted(place: Place) -> None:
    old = place.execute(Try())
    place.execute(Try().retried())
    place.kill(old)
    assert place.platform.find(QUERY) is not None
    assert place.control.stop_request() is None


def test_a_run_does_not_stop_the_driver_of_another_run(place: Place) -> None:
    old = place.execute(Try(run_id="before"))
    place.execute(Try(run_id="after"))
    place.kill(old)
    assert place.platform.find(QUERY) is not None


def test_clearing_restarts_the_driver_whichever_of_both_tries_is_first(place: Place) -> None:
    old, ti = place.execute(Try()), Try().cleared()
    new = place.execute(ti)  # before the old trigger's on_kill
    place.kill(old)
    request = place.control.stop_request()
    assert request is not None
    assert request.by_supervisor
    assert request.targets(place.platform.submitted[0].owner)
    waiting = place.resume(ti, new, ended(place, "job-0", 0))
    again = place.resume(ti, waiting, {"unreachable": None})
    assert again.trigger.job_id == "job-1"
    assert place.control.stop_request() is None
    assert again.kwargs is not None
    assert again.kwargs["failures"] == 0


def test_a_new_try_that_adopts_a_driver_just_stopped_by_the_old_one_starts_another(place: Place) -> None:
    old, ti = place.execute(Try()), Try().cleared()
    place.control.request_stop(place.platform.submitted[0].owner, "marked", by_supervisor=True)
    new = place.execute(ti)
    assert old.trigger.job_id == new.trigger.job_id
    waiting = place.resume(ti, new, ended(place, "job-0", 0))
    assert waiting.trigger.job_id is None
    assert waiting.kwargs is not None
    assert waiting.kwargs["failures"] == 0


def test_a_restarted_triggerer_cleans_up_without_touching_the_driver(place: Place) -> None:
    asyncio.run(place.reload(place.execute(Try())).cleanup())
    assert place.platform.state("job-0").state is JobState.RUNNING
    assert place.control.stop_request() is None


def test_a_first_start_waits_for_the_environment_and_then_says_what_is_missing(place: Place) -> None:
    place.missing = "environment 'test': Kafka at 127.0.0.1:2 does not answer; run the DAG `provision`"
    deferral = place.execute(Try())
    event = place.fire(deferral)
    assert place.platform.submitted == []
    with pytest.raises(AirflowFailException, match=r"Kafka at 127\.0\.0\.1:2 does not answer"):
        place.succeed(Try(), deferral, event)


def test_a_restart_waits_for_the_environment_as_long_as_it_takes(place: Place) -> None:
    waiting = place.resume(Try(), place.execute(Try()), ended(place, "job-0", 1))
    waiting = place.resume(Try(), waiting, {"unreachable": "Kafka is down"})
    assert waiting.trigger.job_id is None
    assert place.resume(Try(), waiting, {"unreachable": None}).trigger.job_id == "job-1"


def test_an_end_while_the_environment_is_down_is_no_failure_of_the_query(place: Place) -> None:
    watching, event = place.execute(Try()), ended(place, "job-0", 1)
    place.missing = "Kafka is down"
    waiting = place.resume(Try(), watching, event)
    assert waiting.trigger.job_id is None
    assert waiting.kwargs is not None
    assert waiting.kwargs["failures"] == 0


def test_a_stop_that_could_not_be_read_at_once_is_heeded_later(place: Place) -> None:
    watching = place.execute(Try())
    place.control.request_stop("*", "teardown")
    place.missing, event = "the lake is down", ended(place, "job-0", 0)
    waiting = place.resume(Try(), watching, event)
    place.missing = None
    place.succeed(Try(), waiting, {"unreachable": None})
    assert len(place.platform.submitted) == 1


def test_a_retry_waits_for_the_environment_as_long_as_it_takes(place: Place) -> None:
    place.missing = "Kafka is down"
    waiting = place.execute(Try().retried())
    assert place.resume(Try().retried(), waiting, {"unreachable": "Kafka is down"}).trigger.job_id is None


def test_a_retry_goes_on_where_the_try_before_it_was_lost(place: Place) -> None:
    ti, deferral = Try(), place.execute(Try())
    for number in range(4):
        place.platform.end(f"job-{number}", 1)
        ti = ti.retried()
        waiting = place.execute(ti)  # the try that should have resumed is lost, and the retry takes over
        assert waiting.trigger.job_id is None
        deferral = place.resume(ti, waiting, {"unreachable": None})
    assert deferral.kwargs is not None
    assert deferral.kwargs["failures"] == 4


def test_a_query_that_was_given_up_stays_failed_even_when_airflow_tries_again(place: Place) -> None:
    ti, deferral = Try(), place.execute(Try())
    for number in range(4):
        waiting = place.resume(ti, deferral, ended(place, f"job-{number}", 1))
        deferral = place.resume(ti, waiting, {"unreachable": None})
    place.platform.end("job-4", 1)
    for _ in range(3):
        ti = ti.retried()
        with pytest.raises(AirflowFailException, match="the limit is 5"):
            place._task().execute({"ti": ti})
    assert len(place.platform.submitted) == 5
    assert place.execute(ti.cleared()).trigger.job_id == "job-5"


def test_a_retry_after_a_requested_stop_does_not_start_the_query(place: Place) -> None:
    place.execute(Try())
    place.control.request_stop("*", "teardown")
    place.platform.end("job-0", 0)
    place._task().execute({"ti": Try().retried()})
    assert len(place.platform.submitted) == 1


def test_a_declaration_that_is_refused_fails_the_task_for_good(place: Place) -> None:
    def refuse(*_: object) -> SparkJob:
        raise MillraceError("topic 'ticks' is not declared; declare it")

    place.make_job = refuse
    with pytest.raises(AirflowFailException, match="not declared"):
        place._task().execute({"ti": Try()})


def test_a_generation_and_its_text_are_the_same() -> None:
    generation = Generation.of(Try(run_id="manual__2026-11-20T02:00:00.5+00:00 ünï/../x", try_number=3))
    assert Generation.parse(str(generation)) == generation
    assert str(generation).isascii()
    assert "/" not in str(generation)
    assert ".." not in str(generation)

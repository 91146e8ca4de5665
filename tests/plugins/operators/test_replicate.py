"""The task that keeps MirrorMaker alive: as a stream's, with its notes on this machine."""

from __future__ import annotations

import asyncio
import socket
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from jobs.errors import MillraceError
from millrace.environment import Environment, StorageAccount
from millrace.home import Home
from millrace.operators.replicate import ReplicateOperator
from millrace.platforms.protocol import JobState, SparkJob
from millrace.replica import Replica
from millrace.replication import job
from millrace.replication.job import REPLICATE, mirror_job, revive_broker, unanswered
from millrace.replication.notes import LocalNotes
from millrace.replication.stop import stop_replication
from millrace.stack.kafka import REPLICA
from millrace.stack.settings import save_settings
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from millrace.triggers.events import status_to_json
from millrace.triggers.replicate import ReplicateTrigger
from tests.plugins.supervision.fake_platform import FakePlatform

STORAGE = StorageAccount("account", "lake", "http://127.0.0.1:1/account", Path("key"))


@dataclass
class Try:
    try_number: int = 1
    max_tries: int = 50
    run_id: str = "scheduled__2000-01-01T00:00:00+00:00"
    map_index: int | None = -1


class Operator(ReplicateOperator):
    connection: Connection

    def connect(self) -> Connection:
        return self.connection

    def unreachable(self) -> str | None:
        return None


def environment(home: Home, *, is_mirrored: bool = True) -> Environment:
    replica = Replica(home, "127.0.0.1:3", {}, topics=("ticks",)) if is_mirrored else None
    return Environment("test", "fake", "127.0.0.1:2", {}, "abfs://lake", STORAGE, replica=replica)


@pytest.fixture
def connection(tmp_path: Path) -> Connection:
    home = Home(tmp_path)
    return Connection(environment(home), FakePlatform(), LocalNotes(home.replication / "test" / "notes"))


def operator(connection: Connection) -> Operator:
    found = Operator(task_id="mirror")
    found.connection = connection
    return found


def deferral(connection: Connection, ti: Try | None = None) -> TaskDeferred:
    with pytest.raises(TaskDeferred) as raised:
        operator(connection).execute({"ti": ti or Try()})
    return raised.value


def resume(connection: Connection, first: TaskDeferred, event: dict[str, Any]) -> None:
    operator(connection).resume({"ti": Try()}, event, **(first.kwargs or {}))


def test_it_starts_mirrormaker_with_the_topics_and_is_deferred(connection: Connection) -> None:
    first = deferral(connection)
    (submitted,) = connection.platform.submitted
    assert (submitted.name, submitted.arguments) == (REPLICATE, ("ticks",))
    assert isinstance(first.trigger, ReplicateTrigger)
    path, kwargs = first.trigger.serialize()
    assert path == "millrace.triggers.replicate.ReplicateTrigger"
    assert ReplicateTrigger(**kwargs).job_id == "job-0"


def test_one_that_runs_is_adopted(connection: Connection) -> None:
    running = connection.platform.submit(SparkJob(REPLICATE, ("ticks",), "cli-1.1"))
    assert deferral(connection).trigger.job_id == running.id
    assert len(connection.platform.submitted) == 1


def test_a_crash_is_followed_by_a_restart_and_five_by_a_failure_with_the_log(connection: Connection) -> None:
    first = deferral(connection)
    status = connection.platform.end("job-0", 137)
    event = {"job_id": "job-0", **status_to_json(status)}
    with pytest.raises(TaskDeferred) as waiting:
        resume(connection, first, event)
    assert (waiting.value.trigger.not_before, (waiting.value.kwargs or {})["failures"]) != (None, 0)
    waiting.value.kwargs["failures"] = 4
    with pytest.raises(AirflowFailException, match=r"5 drivers in a row.*ValueError: no such column"):
        resume(connection, waiting.value, event)


def test_a_stop_that_was_asked_for_is_a_success(connection: Connection) -> None:
    first = deferral(connection)
    StreamControl(connection.notes, REPLICATE).request_stop("*", "teardown")
    status = connection.platform.end("job-0", 0)
    resume(connection, first, {"job_id": "job-0", **status_to_json(status)})


def test_marking_the_task_asks_mirrormaker_to_stop(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    trigger = deferral(connection).trigger
    trigger.grace_s = 0.1
    monkeypatch.setattr(ReplicateTrigger, "connect", lambda self: connection)
    asyncio.run(trigger.on_kill())
    stop = StreamControl(connection.notes, REPLICATE).stop_request()
    assert stop is not None
    assert stop.by_supervisor
    assert connection.platform.state("job-0").state is JobState.CANCELLED


def test_an_environment_without_a_replica_fails_at_once(connection: Connection, tmp_path: Path) -> None:
    alone = Connection(environment(Home(tmp_path), is_mirrored=False), connection.platform, connection.notes)
    with pytest.raises(AirflowFailException, match=r"no table \[replica\]"):
        operator(alone).execute({"ti": Try()})
    with pytest.raises(MillraceError, match=r"no table \[replica\]"):
        mirror_job(alone.environment, "me.1")


def test_a_teardown_is_told_to_a_task_that_waits_for_its_restart(tmp_path: Path) -> None:
    home = Home(tmp_path)
    assert stop_replication(environment(home), home, "teardown", stay_stopped=True) == []
    assert not home.replication.exists()
    notes = LocalNotes(home.replication / "test" / "notes")
    notes.write_json("made", {})
    stop_replication(environment(home), home, "teardown", stay_stopped=True)
    stop = StreamControl(notes, REPLICATE).stop_request()
    assert stop is not None
    assert (stop.owner, stop.by_supervisor) == ("*", False)


def local(home: Home, monkeypatch: pytest.MonkeyPatch) -> tuple[Connection, list[str]]:
    """An environment whose replica is the second broker here, started once and dead; and what is started."""
    started: list[str] = []

    def start(home: Home, broker: str) -> bool:
        started.append(broker)
        return True

    monkeypatch.setattr(job, "start_kafka", start)
    here = replace(environment(home), replica=Replica(home, None, {}, topics=("ticks",)))
    return Connection(here, FakePlatform(), LocalNotes(home.replication / "test" / "notes")), started


def test_a_second_broker_that_died_is_started_again_once_it_was_started_at_all(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    connection, started = local(home, monkeypatch)
    assert not revive_broker(connection.environment)
    save_settings(home, REPLICA, port=1)
    assert not revive_broker(environment(home))  # its replica is elsewhere
    assert started == []
    assert revive_broker(connection.environment)
    assert started == [REPLICA]


def test_the_supervisor_keeps_the_second_broker_alive_as_long_as_mirrormaker_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home = Home(tmp_path)
    connection, started = local(home, monkeypatch)
    save_settings(home, REPLICA, port=1)
    monkeypatch.setattr(ReplicateTrigger, "connect", lambda self: connection)
    running = connection.platform.submit(SparkJob(REPLICATE, ("ticks",), "me.1"))
    trigger = ReplicateTrigger(REPLICATE, "me.1", job_id=running.id)
    trigger.settle_s, trigger.follow_s = 0.0, 0.01
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(trigger._hand_over(), 1))
    assert len(started) > 1
    connection.platform.end(running.id, 0)
    before = len(started)
    with pytest.raises(TimeoutError):
        asyncio.run(asyncio.wait_for(trigger._hand_over(), 0.2))
    assert len(started) == before


def test_a_replica_elsewhere_that_does_not_answer_is_not_provisioned(tmp_path: Path) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as kafka:
        here = replace(environment(Home(tmp_path)), kafka_bootstrap=f"127.0.0.1:{kafka.getsockname()[1]}")
        told = str(unanswered(here))
    assert "the replica at 127.0.0.1:3 does not answer; see that its brokers are up" in told
    assert "provision" not in told
    assert "Kafka at" in str(unanswered(here))
    assert "run the DAG `provision`" in str(unanswered(here))

"""A stream on Databricks: one continuous job, which Databricks and its supervisor both would start again."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from pathlib import Path

import pytest

from millrace.platforms.databricks import DatabricksPlatform
from millrace.platforms.protocol import JobState, RunningJob, SparkJob
from millrace.waiting import until
from tests.plugins.platforms.databricks.drivers import platform_of
from tests.plugins.platforms.databricks.server import Server

NAME = "millrace/test/topic__archive"
SLEEP = "import time; time.sleep(600)"
PATIENCE, SOON = timedelta(seconds=20), timedelta(seconds=0.02)


def stream(script: str, owner: str = "run.1") -> SparkJob:
    return SparkJob("topic__archive", ("archive", script), owner)


def pause_status(server: Server) -> str:
    [job] = server.workspace.jobs.values()
    return str(job["settings"]["continuous"]["pause_status"])


def wait(condition: Callable[[], bool]) -> None:
    assert until(condition, PATIENCE, SOON), "waited in vain"


def run_ids(server: Server) -> list[str]:
    return [str(number) for number in sorted(server.workspace.runs)]


def ended_and_followed(server: Server, running: RunningJob) -> str:
    """The id of the run that Databricks has started by itself after this one."""
    wait(lambda: not server.workspace.runs[int(running.id)].is_live)
    server.workspace.restart_delay_s = 0.3
    wait(lambda: len(run_ids(server)) > 1)
    return run_ids(server)[-1]


def test_a_stream_is_a_continuous_job_that_databricks_keeps_running(
    server: Server, databricks: DatabricksPlatform
) -> None:
    databricks.submit(stream(SLEEP))
    [job] = server.workspace.jobs.values()
    assert job["settings"]["name"] == NAME
    assert job["settings"]["continuous"] == {"pause_status": "UNPAUSED", "task_retry_mode": "NEVER"}
    assert job["settings"]["max_concurrent_runs"] == 1
    assert job["settings"]["tasks"][0]["max_retries"] == 0


def test_many_who_submit_at_once_leave_one_job(server: Server) -> None:
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(lambda number: platform_of(server).submit(stream(SLEEP, f"run.{number}")), range(6)))
    assert len(server.workspace.jobs) == 1
    assert len(run_ids(server)) == 1


def test_a_stream_whose_runs_databricks_has_removed_is_started_again(
    server: Server, databricks: DatabricksPlatform
) -> None:
    """As after 60 days in which it was stopped, and again after as many."""
    for number in range(3):
        running = databricks.submit(stream("raise SystemExit(0)", f"run.{number}"))
        wait(lambda number=running.id: databricks.settled_state(number).state is JobState.SUCCEEDED)  # type: ignore[misc]
        server.workspace.runs.clear()


def test_an_end_that_is_seen_pauses_the_job_and_its_supervisor_decides(
    server: Server, databricks: DatabricksPlatform
) -> None:
    running = databricks.submit(stream("raise SystemExit(1)"))
    wait(lambda: databricks.settled_state(running.id).state is JobState.FAILED)
    assert pause_status(server) == "PAUSED"
    assert run_ids(server) == [running.id]


def test_whoever_merely_looks_leaves_the_stream_to_databricks(server: Server, databricks: DatabricksPlatform) -> None:
    running = databricks.submit(stream("raise SystemExit(1)"))
    wait(lambda: databricks.state(running.id).state is JobState.FAILED)
    server.workspace.startup_s = 600
    successor = ended_and_followed(server, running)
    assert databricks.state(running.id).exit_code == 1
    assert server.workspace.runs[int(successor)].is_live
    assert pause_status(server) == "UNPAUSED"


def test_while_nobody_watches_databricks_starts_the_stream_again_and_that_run_is_adopted(
    server: Server, databricks: DatabricksPlatform, tmp_path: Path
) -> None:
    fails_once = (
        f"import os, time; p = {str(tmp_path / 'once')!r}\nif not os.path.exists(p): open(p, 'w'); 1 / 0\n{SLEEP}"
    )
    running = databricks.submit(stream(fails_once))
    successor = ended_and_followed(server, running)
    wait(lambda: server.workspace.runs[int(successor)].state == "RUNNING")
    assert databricks.settled_state(running.id).exit_code == 1
    adopted = databricks.find("topic__archive")
    assert adopted == RunningJob(successor, "topic__archive", "run.1", ("archive", fails_once))
    assert databricks.submit(stream(SLEEP, "run.2")) == adopted
    assert pause_status(server) == "PAUSED"


def test_a_run_that_databricks_started_and_was_adopted_is_the_supervisors_as_the_first_was(
    server: Server, databricks: DatabricksPlatform, tmp_path: Path
) -> None:
    """Fails, is started again, stops on request: and is not started a third time."""
    script = (
        f"import os, time; folder = {str(tmp_path)!r}\n"
        "if not os.path.exists(folder + '/once'): open(folder + '/once', 'w'); 1 / 0\n"
        "while not os.path.exists(folder + '/stop'): time.sleep(0.01)\n"
        "os.unlink(folder + '/stop')\n"
    )
    ended_and_followed(server, databricks.submit(stream(script)))
    wait(lambda: databricks.find("topic__archive") is not None)
    adopted = databricks.find("topic__archive")
    assert adopted is not None
    (tmp_path / "stop").touch()
    wait(lambda: len(run_ids(server)) == 3)
    assert databricks.settled_state(adopted.id).exit_code == 0
    assert databricks.find("topic__archive") is None
    assert pause_status(server) == "PAUSED"


@pytest.mark.parametrize("code", [0, 2, 3, 4])
def test_a_stream_that_ended_for_good_does_not_go_on_though_databricks_started_it_again(
    server: Server, databricks: DatabricksPlatform, tmp_path: Path, code: int
) -> None:
    ends_once = (
        f"import os; p = {str(tmp_path / 'once')!r}\nif not os.path.exists(p): open(p, 'w'); raise SystemExit({code})\n"
    )
    running = databricks.submit(stream(ends_once + SLEEP))
    successor = ended_and_followed(server, running)
    wait(lambda: server.workspace.runs[int(successor)].state == "RUNNING")
    assert databricks.settled_state(running.id).exit_code == code
    assert databricks.find("topic__archive") is None
    assert databricks.settled_state(successor).state is JobState.CANCELLED


def test_a_successor_whose_cluster_is_not_there_yet_is_cancelled(
    server: Server, databricks: DatabricksPlatform
) -> None:
    running = databricks.submit(stream("raise SystemExit(1)"))
    server.workspace.startup_s = 600
    successor = ended_and_followed(server, running)
    assert databricks.settled_state(running.id).state is JobState.FAILED
    assert not server.workspace.runs[int(successor)].is_live


def test_a_cancelled_stream_stays_cancelled(server: Server, databricks: DatabricksPlatform) -> None:
    server.workspace.restart_delay_s = 0
    running = databricks.submit(stream(SLEEP))
    databricks.cancel(running.id)
    assert pause_status(server) == "PAUSED"
    assert run_ids(server) == [running.id]


def test_the_end_of_an_earlier_submission_does_not_touch_the_present_one(
    server: Server, databricks: DatabricksPlatform
) -> None:
    first = databricks.submit(stream("raise SystemExit(1)"))
    wait(lambda: databricks.settled_state(first.id).state is JobState.FAILED)
    server.workspace.startup_s = 600
    second = databricks.submit(stream(SLEEP))
    assert databricks.settled_state(first.id).state is JobState.FAILED
    assert databricks.settled_state(second.id).state is JobState.RUNNING
    assert pause_status(server) == "UNPAUSED"


def test_a_new_submission_runs_its_own_arguments_in_the_same_job(
    server: Server, databricks: DatabricksPlatform
) -> None:
    first = databricks.submit(stream(SLEEP, "run.1"))
    databricks.cancel(first.id)
    second = databricks.submit(stream(SLEEP + "#", "run.2"))
    assert (second.owner, second.arguments) == ("run.2", ("archive", SLEEP + "#"))
    assert len(server.workspace.jobs) == 1


def test_a_submission_waits_for_a_run_that_is_about_to_end(server: Server, databricks: DatabricksPlatform) -> None:
    stubborn = f"import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('started', flush=True); {SLEEP}"
    first = databricks.submit(stream(stubborn))
    wait(lambda: "started" in databricks.logs(first.id, 9))
    databricks.workspace.call("cancel", lambda client: client.jobs.cancel_run(int(first.id)))
    assert server.workspace.runs[int(first.id)].state == "TERMINATING"
    second = databricks.submit(stream(SLEEP, "run.2"))
    assert (second.owner, server.workspace.runs[int(first.id)].is_live) == ("run.2", False)


def test_a_job_that_somebody_deleted_is_made_again(server: Server, databricks: DatabricksPlatform) -> None:
    running = databricks.submit(stream("raise SystemExit(1)"))
    wait(lambda: not server.workspace.runs[int(running.id)].is_live)
    server.workspace.jobs.clear()
    assert databricks.settled_state(running.id).exit_code == 1
    assert databricks.submit(stream(SLEEP)).id != running.id

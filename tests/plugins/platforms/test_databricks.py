"""The Databricks platform where the API throttles, fails, loses answers, forgets logins, and clusters break."""

from __future__ import annotations

import time
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace

import pytest
from databricks.sdk.errors import InternalError

from jobs.errors import MillraceError
from millrace.platforms.databricks import DatabricksPlatform
from millrace.platforms.protocol import JobState, SparkJob
from millrace.waiting import until
from tests.plugins.platforms.databricks.drivers import platform_of
from tests.plugins.platforms.databricks.server import Fault, Server

SLEEP = "import time; time.sleep(600)"
SUBMIT, RUN_NOW, GET = (f"/api/2.2/jobs/{path}" for path in ("runs/submit", "run-now", "runs/get"))
BATCH, STREAM = SparkJob("query", ("reprocess", SLEEP), "run.1"), SparkJob("query", ("speed", SLEEP), "run.1")
PATIENCE, SOON = timedelta(seconds=20), timedelta(seconds=0.05)


def ended(databricks: DatabricksPlatform, job_id: str) -> JobState:
    assert until(lambda: databricks.state(job_id).state is not JobState.RUNNING, PATIENCE, SOON)
    return databricks.state(job_id).state


@pytest.mark.parametrize(("job", "path"), [(BATCH, SUBMIT), (STREAM, RUN_NOW)])
def test_a_request_whose_answer_was_lost_is_sent_again_and_starts_one_job(
    server: Server, databricks: DatabricksPlatform, job: SparkJob, path: str
) -> None:
    server.faults.append(Fault(path, 503, is_done=True, headers={"Retry-After": "0"}))
    running = databricks.submit(job)
    assert [request.path for request in server.requests].count(path) == 2
    assert [str(number) for number in server.workspace.runs] == [running.id]


def test_two_who_submit_while_the_list_of_runs_is_behind_start_one_batch_job(server: Server) -> None:
    first, second = platform_of(server), platform_of(server)
    server.workspace.is_list_behind = True
    assert first.submit(BATCH) == second.submit(BATCH)
    assert len(server.workspace.runs) == 1


@pytest.mark.parametrize("month", [1, 12])
def test_a_batch_job_of_a_name_whose_run_databricks_has_removed_is_submitted(
    server: Server, databricks: DatabricksPlatform, monkeypatch: pytest.MonkeyPatch, month: int
) -> None:
    """As a repair of an old day is, months after the day's first run."""
    job = SparkJob("query", ("reprocess", "raise SystemExit(0)"), "run.1")
    for number in (month, month + 3):
        at = datetime(2026 + number // 13, 1 + (number - 1) % 12, 15, tzinfo=UTC)
        monkeypatch.setattr("millrace.platforms.databricks.datetime", SimpleNamespace(now=lambda zone, at=at: at))
        assert ended(databricks, databricks.submit(job).id) is JobState.SUCCEEDED
        server.workspace.runs.clear()


def test_a_job_that_has_ended_before_its_submission_was_told_is_not_started_again(
    server: Server, databricks: DatabricksPlatform
) -> None:
    def has_ended() -> bool:
        return all(not run.is_live for run in server.workspace.runs.values())

    server.faults.append(Fault(GET, 429, headers={"Retry-After": "0"}, hold=lambda: until(has_ended, PATIENCE, SOON)))
    running = databricks.submit(SparkJob("query", ("reprocess", "raise SystemExit(2)"), "run.1"))
    assert databricks.state(running.id).exit_code == 2
    assert len(server.workspace.runs) == 1


def test_throttling_is_waited_out_as_long_as_the_answer_says(server: Server, databricks: DatabricksPlatform) -> None:
    server.faults.append(Fault(GET, 429, times=1, headers={"Retry-After": "2"}))
    since = time.monotonic()
    running = databricks.submit(BATCH)
    assert time.monotonic() - since >= 2
    assert databricks.state(running.id).state is JobState.RUNNING


def test_an_error_of_the_service_is_its_own_and_no_refusal(server: Server, databricks: DatabricksPlatform) -> None:
    """So that a task is tried again and a trigger asks again."""
    running = databricks.submit(BATCH)
    server.faults.append(Fault(GET, 500))
    with pytest.raises(InternalError):
        databricks.state(running.id)
    assert databricks.state(running.id).state is JobState.RUNNING


def test_a_refusal_says_what_was_asked_and_why(server: Server, databricks: DatabricksPlatform) -> None:
    for policy in server.workspace.policies.values():
        policy["definition"] = '{"spark_version": {"type": "fixed", "value": "13.3.x-scala2.12"}}'
    with pytest.raises(MillraceError, match=r"submit the run 'millrace/test/query': http.* the value must be 13\.3"):
        databricks.submit(BATCH)


def test_a_cluster_that_goes_down_leaves_its_job_lost(server: Server, databricks: DatabricksPlatform) -> None:
    running = databricks.submit(BATCH)
    run = server.workspace.runs[int(running.id)]
    assert until(lambda: run.state == "RUNNING", PATIENCE, SOON)
    run.break_cluster()
    assert ended(databricks, running.id) is JobState.LOST
    assert databricks.state(running.id).exit_code is None
    assert databricks.logs(running.id, 1) == ["Databricks: CLUSTER_ERROR: The cluster is gone"]


def test_a_run_that_never_had_a_cluster_says_why(server: Server, databricks: DatabricksPlatform) -> None:
    server.workspace.startup_s = 0.5
    running = databricks.submit(BATCH)
    [wheel] = (server.workspace.root / "files").rglob("*.whl")
    wheel.unlink()
    assert ended(databricks, running.id) is JobState.FAILED
    assert "LIBRARY_INSTALLATION_ERROR" in databricks.logs(running.id, 1)[0]


def test_a_driver_that_fails_leaves_its_traceback_in_the_log(databricks: DatabricksPlatform) -> None:
    running = databricks.submit(SparkJob("query", ("reprocess", "raise ValueError('no such thing')"), "run.1"))
    ended(databricks, running.id)
    log = databricks.logs(running.id, 100)
    assert "ValueError: no such thing" in log
    assert log[-1] == "Databricks: RUN_EXECUTION_ERROR: Workload failed, see run output for details"


def test_code_is_uploaded_once(server: Server, databricks: DatabricksPlatform) -> None:
    for name in ("one", "two", "three"):
        databricks.submit(SparkJob(name, ("reprocess", "pass"), "run.1"))
    assert [request.method for request in server.requests].count("PUT") == 1


def test_the_code_is_looked_at_before_it_is_used(server: Server, databricks: DatabricksPlatform) -> None:
    databricks.submit(BATCH)
    [wheel] = (server.workspace.root / "files").rglob("*.whl")
    wheel.write_bytes(b"something else")
    with pytest.raises(MillraceError, match="it has 14 bytes"):
        databricks.submit(SparkJob("other", ("reprocess", SLEEP), "run.1"))

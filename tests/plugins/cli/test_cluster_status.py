"""What `millrace` says where Spark is not on this machine: the status; and `up` and `down` refuse."""

from __future__ import annotations

import dataclasses
import json
import os
import subprocess
import sys
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.lake import alerts_query, archive_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from jobs.version import fingerprint
from millrace.cli.status import stream_status
from millrace.environment import Environment
from millrace.environment_file import Table
from millrace.home import PROJECT_ROOT, Home
from millrace.platforms.protocol import JobState, SparkJob
from millrace.waiting import until
from tests.plugins.platforms.databricks.drivers import TOKEN, platform_of
from tests.plugins.platforms.databricks.server import Server, serve
from tests.plugins.platforms.databricks.workspace import Workspace

ARCHIVE = archive_query(stock_ticks.name)
SPEED = speed_stream(stock_high_low.name, fingerprint(stock_high_low))
SLEEP = "import time; time.sleep(600)"
FAILS = "print('ValueError: no such column', flush=True); raise SystemExit(4)"
FILE = """
platform = "databricks"
lake = { account = "lakes", container = "lake", path = "m" }
kafka = { bootstrap = "nowhere.invalid:9092" }
[databricks]
host = "https://nowhere.invalid"
code = "/Volumes/main/millrace/code"
"""


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    with serve(Workspace(tmp_path / "workspace")) as server:
        yield server
        assert server.unfit == []


@pytest.fixture
def place(environment: Environment, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The stack's Kafka and a lake of its own, with drivers on Databricks."""
    home = Home(tmp_path / "home")
    monkeypatch.setenv("MILLRACE_HOME", str(home.root))
    connection = home.secrets / "connections" / "dbx.json"
    connection.parent.mkdir(parents=True)
    connection.touch(mode=0o600)
    connection.write_text(json.dumps({"login": "token", "password": TOKEN}))
    table = {"host": server.host, "code": "/Volumes/main/millrace/code", "connection": "dbx"}
    lake = f"{environment.lake}/{uuid.uuid4().hex}"
    settings = Table(tmp_path / "test.toml", "databricks", table)
    return dataclasses.replace(environment, name="test", platform="databricks", lake=lake, platform_table=settings)


@pytest.mark.stack
def test_the_status_of_a_cluster_tells_what_runs_what_failed_and_where_the_logs_are(
    place: Environment, server: Server, tmp_path: Path
) -> None:
    platform = platform_of(server)
    archive = platform.submit(SparkJob(ARCHIVE, ("archive", SLEEP), "run.1"))
    speed = platform.submit(SparkJob(SPEED, ("speed", FAILS), "run.1"))
    ended = timedelta(seconds=20), timedelta(seconds=0.05)
    assert until(lambda: platform.state(speed.id).state is JobState.FAILED, *ended)
    told = {row["query"]: row for row in stream_status(place, Home(tmp_path / "home"), answers=True)}
    mine = (ARCHIVE, f"{stock_high_low.name}__")  # a project may have more pipelines
    rows = {query: row for query, row in told.items() if query.startswith(mine)}
    alerts = rows.pop(alerts_query(stock_high_low.name))
    assert (alerts["state"], alerts["last_error"]) == ("stopped", None)
    assert list(rows) == [ARCHIVE, SPEED]
    assert (rows[ARCHIVE]["state"], rows[ARCHIVE]["job"], rows[ARCHIVE]["last_error"]) == ("running", archive.id, None)
    assert (rows[SPEED]["state"], rows[SPEED]["job"]) == ("failed", None)
    assert rows[SPEED]["last_error"].startswith("exit code 4 at 20")
    assert rows[SPEED]["last_error"].endswith("exit code 4")
    for query, running in ((ARCHIVE, archive), (SPEED, speed)):
        assert rows[query]["log"].endswith(f"/run/{running.id}")
    paused = {job["settings"]["continuous"]["pause_status"] for job in server.workspace.jobs.values()}
    assert paused == {"UNPAUSED"}, "whoever looks while Airflow is down leaves them to Databricks"


def run(folder: Path, program: str) -> subprocess.CompletedProcess[str]:
    """A program in an environment of Azure, as its own process."""
    (folder / "cloud.toml").write_text(FILE)
    variables = {"MILLRACE_ENVIRONMENT": "cloud", "MILLRACE_ENVIRONMENTS": str(folder)}
    variables |= {"MILLRACE_HOME": str(folder / "home")}
    variables |= {"PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")])}
    command = [sys.executable, "-c", program]
    return subprocess.run(command, env={**os.environ, **variables}, text=True, capture_output=True, check=False)


@pytest.mark.parametrize(("command", "remedy"), [("up", "DAG `provision`"), ("down", "--stop")])
def test_up_and_down_say_that_they_are_for_this_machine(tmp_path: Path, command: str, remedy: str) -> None:
    ran = run(tmp_path, f"from millrace.cli import main; main([{command!r}])")
    assert ran.returncode == 2
    for part in (f"`millrace {command}`", "'cloud'", "databricks", remedy, "MILLRACE_ENVIRONMENT=local"):
        assert part in ran.stderr
    assert not (tmp_path / "home").exists()


def test_what_does_not_answer_is_told_by_the_status_and_is_no_crash(tmp_path: Path) -> None:
    program = """import datetime, json; from millrace.cli.status import current_status
print(json.dumps(current_status(patience=datetime.timedelta(seconds=5))))"""
    ran = run(tmp_path, program)
    assert ran.returncode == 0, ran.stderr
    found = json.loads(ran.stdout)
    assert (found["platform"], found["processes"], found["streams"], found["jobs"]) == ("databricks", [], [], [])
    assert "Kafka at nowhere.invalid:9092 does not answer" in found["problem"]
    assert "environment 'cloud': databricks cannot be asked what runs: " in found["problem"]

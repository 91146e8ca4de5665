"""The main job through Databricks' API: real drivers, Spark, Kafka and Azurite; a login that expires; no secret told.

The workspace's clusters are processes on this machine, which install the wheel's way and resolve the secrets' names.
"""

from __future__ import annotations

import base64
import dataclasses
import json
import os
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topic import Topic
from jobs.topics import stock_ticks
from millrace.builders.stream_jobs import archive_job, speed_job
from millrace.cli.batch import reprocess_interval
from millrace.environment import Environment
from millrace.environment_file import Table
from millrace.home import Home
from millrace.lake.catch_up import processed_offsets
from millrace.lake.certificate import NotArchivedError, certify
from millrace.lake.offsets import end_offsets
from millrace.lake.serving import begin_serving
from millrace.lake.store import LakeStore
from millrace.lake.view import read_view
from millrace.platforms.databricks import DatabricksPlatform, databricks_platform
from millrace.platforms.databricks_client import connect_workspace
from millrace.platforms.databricks_policy import prepare_policy
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.platforms.protocol import JobCode, JobState, RunningJob
from millrace.producers import Settings, generate, send
from millrace.stack.topics import ensure_topic
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from millrace.waiting import until
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows
from tests.plugins.platforms.code_copies import TOPICS, copied_code, keep
from tests.plugins.platforms.databricks.engine import spark_table, spark_workspace
from tests.plugins.platforms.databricks.server import Server, serve

# `make test-release` runs the like of it through Airflow: tests/end_to_end/test_airflow_on_databricks.py.
IS_ASKED_FOR = "MILLRACE_CONFORMANCE" in os.environ
pytestmark = [
    pytest.mark.stack,
    pytest.mark.timeout(1200),
    pytest.mark.skipif(not IS_ASKED_FOR, reason="run by `make conformance`"),
]

SECOND, PATIENCE = timedelta(seconds=1), timedelta(minutes=6)
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
PRINCIPAL, SECRET = "0d5c1f6e-application", "dose0123456789-the-principals-secret"


@pytest.fixture
def server(environment: Environment, tmp_path: Path) -> Iterator[Server]:
    with serve(spark_workspace(environment, tmp_path / "workspace")) as server:
        server.logins[PRINCIPAL] = SECRET
        yield server
        assert server.unfit == []


@pytest.fixture
def place(environment: Environment, server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The local stack's Kafka and lake, with drivers on Databricks."""
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    connection = Home.current().secrets / "connections" / "dbx.json"
    connection.parent.mkdir(parents=True)
    connection.touch(mode=0o600)
    connection.write_text(json.dumps({"login": PRINCIPAL, "password": SECRET}))
    table = spark_table(environment, server.host, "dbx")
    settings = Table(tmp_path / "databricks.toml", "databricks", table)
    lake = f"{environment.lake}/{uuid.uuid4().hex}"
    place = dataclasses.replace(environment, platform="databricks", lake=lake, platform_table=settings)
    chosen = DatabricksSettings.of(settings)
    prepare_policy(connect_workspace(chosen), chosen)
    return place


def test_the_main_job_runs_on_databricks_and_both_layers_are_right(
    place: Environment, server: Server, tmp_path: Path
) -> None:
    topic = dataclasses.replace(stock_ticks, name=f"ticks_{uuid.uuid4().hex[:12]}")
    pipeline = dataclasses.replace(stock_high_low, topic=topic)
    version = keep(place, copied_code(tmp_path / "code", (TOPICS, 'name="stock_ticks"', f'name="{topic.name}"')))
    ensure_topic(place, topic.name, topic.partitions)
    ticks = generate(
        Settings(DAY + timedelta(hours=12), rate=1, count=900, disorder=0.05, duplicates=0.02, garbage=0.02)
    )
    send(ticks, topic.name, place.kafka_bootstrap)
    platform = databricks_platform(place)
    begin_serving(place, pipeline, version, by="a test")

    job = archive_job(topic, SECOND, place, "archive.1")
    archive = platform.submit(dataclasses.replace(job, code=JobCode(pipeline.name, version)))
    archived = until(lambda: has_archived_all(place, topic), PATIENCE)
    assert archived, told(platform, archive)
    server.access.clear()  # every token expires
    speed = platform.submit(speed_job(pipeline.name, version, SECOND, place, f"{version}.1"))

    ends = end_offsets(place, topic.name)
    reached = until(lambda: processed_offsets(place, pipeline, version) == ends, PATIENCE)
    assert reached, told(platform, speed)
    expected = high_low(read_topic(place.kafka_bootstrap, topic.name))
    assert view_rows(read_view(place, pipeline)) == expected

    connection = Connection(place, databricks_platform(place), LakeStore(place))
    interval = Interval.of(DAY, pipeline.interval)
    result = reprocess_interval(connection, pipeline, interval, PATIENCE, False, version=version)
    assert (result["published"], result["parity"]["equal"], result["parity"]["causes"]) == (True, len(expected), {})
    served = read_view(place, pipeline)
    assert set(served["_layer"].to_pylist()) == {"batch"}
    assert view_rows(served) == expected

    for running in (archive, speed):
        stop(connection, platform, running)
    assert {job["settings"]["continuous"]["pause_status"] for job in server.workspace.jobs.values()} == {"PAUSED"}
    assert server.workspace.live_runs() == []
    no_secret_was_told(server, place)


def told(platform: DatabricksPlatform, running: RunningJob) -> str:
    return "\n".join([str(platform.state(running.id)), *platform.logs(running.id, 400)])


def has_archived_all(place: Environment, topic: Topic) -> bool:
    try:
        certify(place, topic, wait=timedelta(0))
    except NotArchivedError:
        return False
    return True


def stop(connection: Connection, platform: DatabricksPlatform, running: RunningJob) -> None:
    StreamControl(connection.notes, running.name).request_stop(running.owner, "the test")
    assert until(lambda: platform.settled_state(running.id).state is not JobState.RUNNING, PATIENCE)
    assert platform.state(running.id).exit_code == 0, told(platform, running)
    assert "millrace: stopped on request" in platform.logs(running.id, 100)


def no_secret_was_told(server: Server, place: Environment) -> None:
    """Neither the lake's key nor the login: but for the header of the request that is the login."""
    logins = 0
    for request in server.requests:
        login = request.headers.pop("authorization", "")
        logins += login == "Basic " + base64.b64encode(f"{PRINCIPAL}:{SECRET}".encode()).decode()
        told = f"{request.path} {request.query} {request.headers} {request.body!r}"
        for secret in (place.account_key(), SECRET, *server.access):
            assert secret not in told
    assert logins >= 2
    for run in server.workspace.runs.values():
        assert place.account_key() not in run.log

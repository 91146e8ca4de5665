"""The DAGs of a pipeline with their drivers in a Databricks workspace: Airflow's own processes, real Spark and Kafka.

The workspace is the tests' own (`tests/plugins/platforms/databricks`); Airflow gets in by connections in its database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

import pytest

from jobs.lake import archive_query, batch_query, speed_query, speed_stream
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from jobs.version import fingerprint
from millrace.builders.stream_jobs import archive_job
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.lake.published import publications
from millrace.lake.view import read_view
from millrace.platforms.databricks import DatabricksPlatform, databricks_platform
from millrace.platforms.databricks_policy import prepare_policy
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.platforms.protocol import JobState, RunningJob
from millrace.producers import Settings, generate, send
from millrace.stack.airflow import start_airflow, stop_airflow
from millrace.stack.airflow_client import AirflowClient
from millrace.stack.lifecycle import down, up
from millrace.stack.topics import ensure_topic
from tests.end_to_end.streams import await_true
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows
from tests.plugins.platforms.databricks.drivers import TOKEN
from tests.plugins.platforms.databricks.engine import spark_table, spark_workspace
from tests.plugins.platforms.databricks.server import Server, serve

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(1500)]

ARCHIVE, SPEED, BATCH = (
    archive_query(stock_ticks.name),
    speed_query(stock_high_low.name),
    batch_query(stock_high_low.name),
)
SPEED_STREAM = speed_stream(stock_high_low.name, fingerprint(stock_high_low))
# It ended more than the topic's allowed lateness ago, at whatever hour.
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
PATIENCE = timedelta(minutes=8)
SECOND = timedelta(seconds=1)


@dataclass
class Place:
    """Airflow, the workspace behind it, and the stack as this process sees it."""

    client: AirflowClient
    server: Server
    platform: DatabricksPlatform
    environment: Environment
    home: Home

    def run_of(self, dag_id: str) -> str:
        return str(await_true(f"a run of {dag_id}", lambda: self.client.runs(dag_id))[0]["dag_run_id"])

    def driver(self, name: str) -> RunningJob:
        return await_true(f"the driver of {name}", lambda: self.platform.find(name), PATIENCE)

    def task(self, dag_id: str, task_id: str = "stream") -> str | None:
        run = self.run_of(dag_id)
        return next(task.state for task in self.client.tasks(dag_id, run) if task.task_id == task_id)

    def mark_success(self, dag_id: str) -> None:
        path = f"/dags/{dag_id}/dagRuns/{quote(self.run_of(dag_id), safe='')}/taskInstances/stream"
        self.client.api.patch(path, {"new_state": "success"})

    def end(self, running: RunningJob) -> tuple[JobState, int | None]:
        def ended() -> Any:
            status = self.platform.state(running.id)
            return status if status.state is not JobState.RUNNING else None

        status = await_true(f"the end of {running.name}", ended, PATIENCE)
        return status.state, status.exit_code


@pytest.fixture(scope="module")
def local(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Home, Environment]]:
    """Kafka and Azurite in a folder of their own; three days ago ticks came in."""
    home = Home(tmp_path_factory.mktemp("databricks") / "home")
    try:
        up(home, airflow=False)
        environment = load_environment("local", home=home)
        ensure_topic(environment, stock_ticks.name, stock_ticks.partitions)
        ticks = generate(
            Settings(DAY + timedelta(hours=12), rate=1, count=900, disorder=0.05, duplicates=0.02, garbage=0.02)
        )
        send(ticks, stock_ticks.name, environment.kafka_bootstrap)
        yield home, environment
    finally:
        down(home)


@pytest.fixture(scope="module")
def place(local: tuple[Home, Environment], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    home, environment = local
    folder = tmp_path_factory.mktemp("workspace")
    with serve(spark_workspace(environment, folder / "workspace")) as server, pytest.MonkeyPatch.context() as patch:
        server.access.add(TOKEN)
        (folder / "cloud.toml").write_text(environment_file(environment, server.host))
        connections = {
            "dbx": {"conn_type": "generic", "login": "token", "password": TOKEN},
            "lake": {"conn_type": "generic", "login": "lake", "password": environment.account_key()},
        }
        for name, connection in connections.items():  # for this process: Airflow's are in its database
            patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(connection))
        patch.setenv("MILLRACE_HOME", str(home.root))
        cloud = load_environment("cloud", folder=folder)
        patch.setenv("MILLRACE_ENVIRONMENT", "cloud")
        patch.setenv("MILLRACE_ENVIRONMENTS", str(folder))
        platform = databricks_platform(cloud)
        prepare_policy(platform.workspace, DatabricksSettings.of(cloud.platform_table))
        start_airflow(home, environment)
        client = AirflowClient.local(home)
        for name, connection in connections.items():
            client.api.post("/connections", {"connection_id": name, **connection})
        yield Place(client, server, platform, cloud, home)
        stop_airflow(home)
        assert server.unfit == []


def environment_file(environment: Environment, host: str) -> str:
    storage, table = environment.storage, spark_table(environment, host, "dbx")
    lines = [
        'platform = "databricks"',
        "[lake]",
        f'account = "{storage.account_name}"',
        f'blob_endpoint = "{storage.blob_endpoint}"',
        f'container = "{storage.container}"',
        'path = "on_databricks"',
        'key_connection = "lake"',
        "[kafka]",
        f'bootstrap = "{environment.kafka_bootstrap}"',
        "[databricks]",
        *(f'{name} = "{value}"' for name, value in table.items() if isinstance(value, str)),
    ]
    for name in ("secrets", "spark"):
        settings = (f"{json.dumps(key)} = {json.dumps(value)}" for key, value in table[name].items())
        lines += [f"[databricks.{name}]", *settings]
    return "\n".join(lines)


def test_the_archives_task_adopts_the_driver_that_somebody_started(place: Place) -> None:
    job = archive_job(stock_ticks, SECOND, place.environment, "somebody.1")
    started = place.platform.submit(job)
    place.client.await_dag(ARCHIVE, PATIENCE)
    place.client.unpause(ARCHIVE)
    await_true("the deferral", lambda: place.task(ARCHIVE) == "deferred", PATIENCE)
    log = "\n".join(place.client.task_log(ARCHIVE, place.run_of(ARCHIVE), "stream"))
    assert f"adopting what somebody.1 started: driver {started.id}" in log
    assert place.platform.find(ARCHIVE) == started


def test_a_nightly_run_certifies_reprocesses_and_publishes_a_day(place: Place) -> None:
    place.client.await_dag(SPEED, PATIENCE)
    place.client.unpause(SPEED)
    place.driver(SPEED_STREAM)
    night = place.client.create_backfill(BATCH, DAY, DAY + timedelta(days=1) - SECOND)
    place.client.unpause(BATCH)  # not before: last night's run would find the day missed

    def is_completed() -> bool:
        return next(found for found in place.client.backfills(BATCH) if found.id == night.id).is_completed

    await_true("the night", is_completed, PATIENCE, poll_s=1)
    run = next(run for run in place.client.runs(BATCH) if run["run_type"] == "backfill")
    states = {task.task_id: task.state for task in place.client.tasks(BATCH, run["dag_run_id"])}
    assert run["state"] == "success", states
    published = next(each for each in publications(place.environment, stock_high_low) if each.interval.start == DAY)
    expected = high_low(read_topic(place.environment.kafka_bootstrap, stock_ticks.name))
    served = read_view(place.environment, stock_high_low)
    assert set(served["_layer"].to_pylist()) == {"batch"}
    assert view_rows(served) == expected
    assert published.result["parity"]["different"] == 0
    ran = [run for run in place.server.workspace.runs.values() if run.run_type == "SUBMIT_RUN"]
    assert ran, "the batch job was a one-time run of the workspace"


def test_streams_are_supervised_on_after_all_of_airflow_was_restarted_and_stop_with_their_tasks(place: Place) -> None:
    before = {name: place.driver(name) for name in (ARCHIVE, SPEED_STREAM)}
    stop_airflow(place.home)
    start_airflow(place.home, load_environment("local", home=place.home))
    for dag_id in (ARCHIVE, SPEED):
        await_true(f"{dag_id} deferred", lambda dag_id=dag_id: place.task(dag_id) == "deferred", PATIENCE)
    assert {name: place.driver(name) for name in before} == before
    for dag_id, name in ((ARCHIVE, ARCHIVE), (SPEED, SPEED_STREAM)):
        place.mark_success(dag_id)
        assert place.end(before[name]) == (JobState.SUCCEEDED, 0)
        await_true(f"the end of {dag_id}", lambda dag_id=dag_id: place.client.runs(dag_id)[0]["state"] == "success")
        assert place.platform.find(name) is None
    paused = {job["settings"]["continuous"]["pause_status"] for job in place.server.workspace.jobs.values()}
    assert paused == {"PAUSED"}

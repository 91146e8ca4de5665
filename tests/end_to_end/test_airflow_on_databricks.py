"""The DAGs of a pipeline with their drivers in a Databricks workspace: Airflow's own processes, real Spark and Kafka.

The workspace is the tests' own (`tests/plugins/platforms/databricks`); Airflow gets in by connections in its database.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.platforms.databricks_client import connect_workspace
from millrace.platforms.databricks_policy import prepare_policy
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.stack.lifecycle import down, up
from tests.end_to_end.airflow_on_cluster import Place, airflow_elsewhere, send_ticks
from tests.end_to_end.databricks_environment import environment_file
from tests.plugins.platforms.databricks.drivers import TOKEN
from tests.plugins.platforms.databricks.engine import spark_workspace
from tests.plugins.platforms.databricks.server import Server, serve

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(1500)]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    return Home(tmp_path_factory.mktemp("databricks") / "home")


@pytest.fixture(scope="module")
def local(home: Home) -> Iterator[Environment]:
    """Kafka and Azurite in a folder of their own; three days ago ticks came in."""
    try:
        up(home, airflow=False)
        environment = load_environment("local", home=home)
        send_ticks(environment)
        yield environment
    finally:
        down(home)


@pytest.fixture(scope="module")
def server(local: Environment, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serve(spark_workspace(local, tmp_path_factory.mktemp("workspace"))) as server:
        server.access.add(TOKEN)
        yield server
        assert server.unfit == []


@pytest.fixture(scope="module")
def place(home: Home, local: Environment, server: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    files = tmp_path_factory.mktemp("environments")
    text = environment_file(local, server.host, "on_databricks", local.kafka_bootstrap)
    (files / "cloud.toml").write_text(text)
    logins = {"dbx": ("token", TOKEN), "lake": ("lake", local.account_key())}
    with ExitStack() as undo:
        patch = undo.enter_context(pytest.MonkeyPatch.context())
        for name, (login, password) in logins.items():  # for this process: Airflow's are in its database
            told = {"conn_type": "generic", "login": login, "password": password}
            patch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(told))
        patch.setenv("MILLRACE_HOME", str(home.root))
        cloud = load_environment("cloud", folder=files)
        settings = DatabricksSettings.of(cloud.platform_table)
        prepare_policy(connect_workspace(settings), settings)
        yield undo.enter_context(airflow_elsewhere(cloud, files, home, logins))


def test_the_archives_task_adopts_the_driver_that_somebody_started(place: Place) -> None:
    place.adopts_what_somebody_started()


def test_a_nightly_run_certifies_reprocesses_and_publishes_a_day(place: Place, server: Server) -> None:
    place.publishes(place.begin_night())
    ran = [run for run in server.workspace.runs.values() if run.run_type == "SUBMIT_RUN"]
    assert ran, "the batch job was a one-time run of the workspace"


def test_no_password_is_in_what_airflow_tells_of_its_runs(place: Place) -> None:
    place.shows_no_secret()


def test_streams_are_supervised_on_after_all_of_airflow_was_restarted_and_stop_with_their_tasks(
    place: Place, server: Server
) -> None:
    place.supervises_on_after_a_restart_and_stops_with_its_tasks()
    paused = {job["settings"]["continuous"]["pause_status"] for job in server.workspace.jobs.values()}
    assert paused == {"PAUSED"}

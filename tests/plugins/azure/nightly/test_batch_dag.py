"""A nightly run's own Spark cluster, by Airflow's own rules: deleted when the job succeeds, and when it fails."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from millrace.environment import Environment
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.private_file import write_private
from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import Answer
from tests.plugins.azure.deploy.dag_runs import DagRun, DagRuns
from tests.plugins.azure.deploy.test_batch_cluster import FILE, clusters
from tests.plugins.azure.deploy.tries import CLUSTERS_CONNECTION, A, finished

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(600)]

OTHERS = {"kafka-": "Succeeded", "spark-": "Succeeded"}
INTERVALS = "20261119T000000Z,20261120T000000Z"


@pytest.fixture
def nightly(azure: Azure, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """An environment that is deployed, with a cluster for batch runs, whose jobs' files lie on the stack's Azurite."""
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_CLUSTERS", CLUSTERS_CONNECTION)
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    storage, connections = environment.storage, Home.current().secrets / "connections"
    write_private(connections / "lake.json", json.dumps({"login": "key", "password": environment.account_key()}))
    text = FILE.format(cluster=finished(A)["batchCluster"]).replace(
        'account = "millracelake"',
        f'account = "{storage.account_name}"\nblob_endpoint = "{storage.blob_endpoint}"\nkey_connection = "lake"',
    )
    own = f'container = "{storage.container}"\npath = "{uuid.uuid4().hex}"\n'  # the stack has that container alone
    text = text.replace('container = "spark"\npath = "millrace"\n', own)
    name = f"tests-{uuid.uuid4().hex[:8]}"
    file = PROJECT_ROOT / "infra" / "environments" / f"{name}.toml"
    file.write_text(text.replace("workers = 4", f'container = "{storage.container}"'))
    azure.manager.created.clear()
    try:
        yield name
    finally:
        file.unlink()


@pytest.fixture
def night(nightly: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], DagRun]:
    """Runs the DAG: how its jobs end, and of which intervals."""

    def run(ending: str, intervals: str) -> DagRun:
        told = {"NIGHT_ENVIRONMENT": nightly, "NIGHT_JOB": ending, "NIGHT_INTERVALS": intervals}
        for variable, value in told.items():
            monkeypatch.setenv(variable, value)
        return DagRuns(tmp_path / "airflow", Path(__file__).parent).run("nightly_dag", {})

    return run


def test_the_cluster_is_there_for_the_job_and_deleted_though_it_fails(
    azure: Azure, night: Callable[[str, str], DagRun]
) -> None:
    found = night("fails", INTERVALS)
    assert found.state == "failed"
    tasks = found.states
    assert (tasks["create_cluster"], tasks["delete_cluster"]) == ("success", "success")
    assert (tasks["interval_run.reprocess[0]"], tasks["interval_run.reprocess[1]"]) == ("failed", "failed")
    assert [one.name[:6] for one in azure.manager.created] == ["batch-"]
    assert clusters(azure) == OTHERS
    assert azure.asked("DELETE", "") == 1


def test_the_cluster_is_deleted_when_all_has_gone_well(azure: Azure, night: Callable[[str, str], DagRun]) -> None:
    found = night("succeeds", INTERVALS)
    assert (found.state, set(found.states.values())) == ("success", {"success"})
    assert (clusters(azure), azure.asked("DELETE", "")) == (OTHERS, 1)


def test_a_cluster_that_cannot_be_deleted_fails_the_run(azure: Azure, night: Callable[[str, str], DagRun]) -> None:
    text = "The scope cannot perform delete operation because following scope(s) are locked."
    azure.faults.answer("DELETE", "/clusters/batch-", Answer(409, {"code": "ScopeLocked", "message": text}))
    found = night("succeeds", INTERVALS)
    assert (found.state, found.states["delete_cluster"]) == ("failed", "failed")
    assert found.states["interval_run.publish[0]"] == "success"
    assert clusters(azure) == {**OTHERS, "batch-": "Succeeded"}


def test_a_night_with_nothing_to_run_makes_no_cluster(azure: Azure, night: Callable[[str, str], DagRun]) -> None:
    found = night("succeeds", "")
    assert found.state == "success"
    assert found.states["create_cluster"] == "skipped"
    assert azure.manager.created == []

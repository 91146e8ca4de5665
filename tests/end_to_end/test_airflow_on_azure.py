"""`provision` and `teardown` on Azure, by Airflow's own processes, against the tests' Azure that Microsoft's validator
judges. By its name it runs before the tests that keep an Airflow of their own running."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any
from urllib.parse import quote

import psutil
import pytest
from confluent_kafka.admin import AdminClient

from jobs.topics import stock_ticks
from millrace.azure.arm import TEMPLATES
from millrace.demo.airflow import AirflowStart
from millrace.home import Home
from millrace.stack.airflow_client import AirflowClient
from millrace.stack.kafka import bootstrap
from millrace.stack.lifecycle import down, up
from millrace.stack.process_record import load_record
from tests.azure_control_plane.cloud import Azure, azure_cloud
from tests.azure_control_plane.exchange import error, refusal
from tests.azure_control_plane.judgement import mistakes
from tests.end_to_end.airflow_kept import kept
from tests.end_to_end.databricks_environment import databricks_environment
from tests.end_to_end.streams import await_true
from tests.infra.ambari import Ambari
from tests.infra.openapi import Judge

pytestmark = [pytest.mark.release, pytest.mark.timeout(2400)]

FORM = {
    "platform": "azure",
    "layout": "databricks",
    "size": "dev",
    "region": "northeurope",
    "prefix": "mr",
    "operator_principal_id": "77777777-2222-3333-4444-555555555555",
    "ssh_public_key": "ssh-ed25519 AAAA",
    "clients": ["203.0.113.7/32"],
    "parameters": {"interactiveQuery": True},
}
SCRIPT = TEMPLATES / "scripts" / "advertise_addresses.sh"
END = {"platform": "azure", "prefix": "mr", "size": "dev", "delete_data": True}
QUOTA = error("BadRequest", "The requested cores exceed the quota: requested 20, left 12.")
PATIENCE = timedelta(minutes=6)


@dataclass
class Airflow:
    """Airflow's DAGs as a person uses them."""

    client: AirflowClient
    home: Home

    def begin(self, dag_id: str, **params: object) -> str:
        self.client.await_dag(dag_id)
        self.client.unpause(dag_id)
        return self.client.trigger(dag_id, params)

    def end(self, dag_id: str, run_id: str) -> str:
        state, failed = self.client.await_run(dag_id, run_id, PATIENCE), self.failed(dag_id, run_id)
        for task_id in failed:
            print(self.log(dag_id, run_id, task_id)[-5000:])
        return f"{state}: {', '.join(failed)}" if failed else state

    def failed(self, dag_id: str, run_id: str) -> list[str]:
        return [task.task_id for task in self.client.tasks(dag_id, run_id) if task.state == "failed"]

    def states(self, dag_id: str, run_id: str) -> dict[str, str | None]:
        return {task.task_id: task.state for task in self.client.tasks(dag_id, run_id)}

    def log(self, dag_id: str, run_id: str, task_id: str) -> str:
        """What all tries of a task have logged."""
        tries = next(task.try_number for task in self.client.tasks(dag_id, run_id) if task.task_id == task_id)
        lines = (self.client.task_log(dag_id, run_id, task_id, number) for number in range(1, tries + 1))
        return "\n".join(line for each in lines for line in each)

    def question(self, run_id: str) -> dict[str, Any]:
        """What a person is asked, awaited.

        Also that the scheduler has seen the worker go that asked: Airflow takes an answer that comes sooner, which is
        within a second, for a task that was killed, and asks again.
        """
        await_true("asked", lambda: self._state("provision", run_id, "azure.approve") == "awaiting_input", PATIENCE)
        key = f"TaskInstanceKey(dag_id='provision', task_id='azure.approve', run_id='{run_id}'"
        gone = f"executor event with state success for task instance {key}"
        await_true("the worker is gone", lambda: gone in self._scheduler_log(), PATIENCE)
        return dict(self.client.api.get(self._question(run_id)))

    def answer(self, run_id: str, chosen: str) -> None:
        self.client.api.patch(self._question(run_id), {"chosen_options": [chosen]})

    def clear(self, run_id: str, task_id: str) -> None:
        body = {"dry_run": False, "dag_run_id": run_id, "task_ids": [task_id], "include_downstream": True}
        self.client.api.post("/dags/provision/clearTaskInstances", body)

    def await_deferred(self, run_id: str, task_id: str) -> None:
        await_true(f"{task_id} deferred", lambda: self._state("provision", run_id, task_id) == "deferred", PATIENCE)

    def kill_triggerer(self) -> None:
        """By SIGKILL; Airflow's keeper starts another one."""
        process = self._triggerer()
        assert process is not None
        process.kill()
        await_true("another triggerer", lambda: self._triggerer() not in (None, process), PATIENCE)

    def _triggerer(self) -> psutil.Process | None:
        record = load_record(self.home, "airflow-triggerer")
        return record.process() if record else None

    def _state(self, dag_id: str, run_id: str, task_id: str) -> str | None:
        state = self.states(dag_id, run_id).get(task_id)
        assert state != "failed", self.log(dag_id, run_id, task_id)[-3000:]
        return state

    def _scheduler_log(self) -> str:
        return (self.home.logs / "airflow-scheduler.log").read_text()

    def _question(self, run_id: str) -> str:
        run = quote(run_id, safe="")
        return f"/dags/provision/dagRuns/{run}/taskInstances/azure.approve/-1/hitlDetails"


def advertise_but_for_one(ambari: Ambari, kafka: str) -> None:
    """As after a run that was cut off: the configuration is set, and one broker runs without it.

    All three are told to be where one real broker is.
    """
    fragment = subprocess.run([str(SCRIPT), "fragment"], text=True, capture_output=True, check=True).stdout
    host, _, port = kafka.partition(":")
    ambari.addresses = [host] * 3
    ambari.current("kafka-broker")["listeners"] = f"PLAINTEXT://0.0.0.0:{port}"
    ambari.current("kafka-env")["content"] += fragment
    ambari.started_with["wn1-kafka"] = {}


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azure]:
    with azure_cloud(tmp_path_factory.mktemp("azure")) as azure:
        azure.manager.pace = 6
        yield azure


@pytest.fixture(scope="module")
def airflow(cloud: Azure, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Airflow]:
    """Airflow, started where Azure's names lead to the tests' Azure, with the connections in its database; and the real
    Kafka and Azurite that stand for the cluster and the account that Azure would have."""
    home = Home(tmp_path_factory.mktemp("airflow") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_HOME", str(home.root))
        start = AirflowStart(home)
        try:
            up(home, airflow=False)
            advertise_but_for_one(cloud.ambari, bootstrap(home))
            start.start()
            start.wait()
            client = AirflowClient.local(home)
            azure = json.loads(cloud.connection())
            extra = json.dumps(azure.pop("extra"))
            client.api.post("/connections", {"connection_id": "azure_default", **azure, "extra": extra})
            clusters = {"connection_id": "azure_clusters", "conn_type": "generic", "password": cloud.clusters_password}
            client.api.post("/connections", clusters)
            yield Airflow(client, home)
        finally:
            down(home)


@pytest.fixture
def environment_file(airflow: Airflow, tmp_path: Path) -> Iterator[str]:
    with databricks_environment(airflow.home, tmp_path) as name:
        yield name


def test_an_environment_is_shown_approved_provisioned_and_torn_down(
    airflow: Airflow, cloud: Azure, azure_judge: Judge, environment_file: str
) -> None:
    form = {**FORM, "environment": environment_file}
    kafka = bootstrap(airflow.home)
    run = airflow.begin("provision", **form, dry_run=True)
    assert airflow.end("provision", run) == "success"
    assert airflow.states("provision", run)["azure.deploy"] == "skipped"
    assert airflow.states("provision", run)["kafka"] == "skipped"
    assert "USD an hour, " in airflow.log("provision", run, "azure.preview")
    assert cloud.manager.created == []

    run = airflow.begin("provision", **form)
    assert "Deploy to Azure: databricks, dev, in northeurope?" in airflow.question(run)["subject"]
    assert "HDInsight/clusters/kafka-mr-dev-" in airflow.question(run)["body"]
    airflow.answer(run, "Reject")
    assert airflow.end("provision", run) == "failed: azure.approve"
    assert cloud.manager.created == []

    told = f"The value '{cloud.clusters_password}' of clusterPassword is not strong enough."
    cloud.faults.answer("POST", "/validate", refusal(400, "InvalidTemplate", told))
    run = airflow.begin("provision", **form, dry_run=True)
    assert airflow.end("provision", run) == "failed: azure.preview"
    told = kept(airflow.client, "provision", run)
    assert "The value '***' of clusterPassword is not strong enough." in told, "a secret that Azure repeats is masked"
    assert cloud.clusters_password not in told

    cloud.faults.throttle("PUT", "/deployments/", times=1)
    cloud.faults.fail("clusters/query-", error("ServiceUnavailable", "Try again later."))
    cloud.faults.fail("clusters/query-", QUOTA)
    run = airflow.begin("provision", **form)
    airflow.question(run)
    cloud.login.end_tokens()
    airflow.answer(run, "Approve")
    assert airflow.end("provision", run) == "failed: azure.deploy"
    log = airflow.log("provision", run, "azure.deploy")
    assert "failed: Microsoft.HDInsight/clusters query-mr-dev-" in log
    assert "The requested cores exceed the quota: requested 20, left 12." in log
    assert "succeeded: Microsoft.Databricks/workspaces mr-dev (module databricks)" in log
    assert "ServiceUnavailable: Try again later." in log, "the first try; Airflow tried again by itself"
    assert cloud.faults.happened == 4

    cloud.faults.hold("clusters/query-")
    airflow.clear(run, "azure.deploy")
    airflow.await_deferred(run, "azure.deploy")
    begun = cloud.asked("PUT", "/deployments/")
    airflow.kill_triggerer()
    cloud.faults.release()
    assert airflow.end("provision", run) == "success"
    assert cloud.asked("PUT", "/deployments/") == begun, "who took over went on with the deployment"
    assert airflow.states("provision", run)["azure.peered"] == "success"
    assert cloud.asked("GET", "/virtualNetworkPeerings/") >= 4, "both sides were asked, until both read Connected"
    clusters = sorted(one.name[:6] for one in cloud.manager.created if one.type == "Microsoft.HDInsight/clusters")
    assert clusters == ["kafka-", "query-", "query-", "query-"]
    assert cloud.ambari.restarted == ["wn1-kafka"], "the broker that did not advertise its address yet"
    told = kept(airflow.client, "provision", run)
    assert f"{kafka},{kafka},{kafka}" in told, "the brokers' addresses, for the environment's file"
    assert "databricksUrl" in told

    topics = AdminClient({"bootstrap.servers": kafka}).list_topics(timeout=15).topics
    assert len(topics[stock_ticks.name].partitions) == stock_ticks.partitions
    assert f"broker {kafka}: reached" in airflow.log("provision", run, "azure.reached"), "by Spark, through Databricks"

    cloud.manager.created.clear()
    run = airflow.begin("provision", **form, approve=True)
    assert airflow.end("provision", run) == "success"
    assert "nothing would change" in airflow.log("provision", run, "azure.deploy")
    assert cloud.manager.created == []
    topics_log = airflow.log("provision", run, "azure.topics")
    assert "topic stock_ticks: existed" in topics_log
    assert "changed" not in topics_log

    run = airflow.begin("teardown", **END, confirmation="yes")
    assert airflow.end("teardown", run) == "failed: stop_streams", "before any stream is asked to stop"
    assert {stored.state for stored in cloud.manager.resources.groups()} == {"Succeeded"}
    cloud.faults.answer("DELETE", "resourcegroups/mr-dev$", refusal(409, "Conflict", "Not now."))
    run = airflow.begin("teardown", **END, confirmation="delete everything", stop_streams=False)
    assert airflow.end("teardown", run) == "success"
    assert cloud.manager.resources.groups() == []
    told = kept(airflow.client)
    for secret in (cloud.clusters_password, cloud.login.secret, *cloud.login.issued):
        assert secret not in told
    assert mistakes(cloud, azure_judge) == []


def test_without_a_form_the_local_platform_is_brought_up_and_stopped(airflow: Airflow, cloud: Azure) -> None:
    said = len(cloud.said)
    run = airflow.begin("provision")
    assert airflow.end("provision", run) == "success"
    states = airflow.states("provision", run)
    assert states["healthy"] == "success"
    assert {state for name, state in states.items() if name.startswith("azure.")} == {"skipped"}
    run = airflow.begin("teardown")
    assert airflow.end("teardown", run) == "success"
    states = airflow.states("teardown", run)
    assert (states["stack"], states["data"], states["delete_environment"]) == ("success", "skipped", "skipped")
    assert len(cloud.said) == said, "Azure was asked nothing"

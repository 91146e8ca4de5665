"""`provision` and `teardown` in each layout, run by Airflow's own rules; Spark and Kafka are this machine's."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.environment import Environment
from millrace.home import Home
from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.judgement import mistakes
from tests.end_to_end.databricks_environment import databricks_environment
from tests.infra.deployments import PASSWORD
from tests.infra.openapi import Judge
from tests.plugins.azure.deploy.dag_runs import DagRuns
from tests.plugins.azure.deploy.test_batch_cluster import clusters
from tests.plugins.azure.deploy.test_broker_names import DOMAIN, zones

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(1200)]

WHOSE = {"platform": "azure", "prefix": "mr", "size": "dev"}
FORM = {
    **WHOSE,
    "region": "northeurope",
    "operator_principal_id": "77777777-2222-3333-4444-555555555555",
    "ssh_public_key": "ssh-ed25519 AAAA",
    "clients": ["203.0.113.7/32"],
    "approve": True,
}
ALL = "delete everything"


@pytest.fixture
def form(
    stack: Home, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, object]]:
    """Its environment says where Kafka is, for this machine does not know the brokers' names."""
    monkeypatch.setenv("MILLRACE_HOME", str(stack.root))
    with databricks_environment(stack, tmp_path, environment.kafka_bootstrap) as name:
        yield {**FORM, "environment": name}


@pytest.fixture
def dags(azure: Azure, environment: Environment, tmp_path: Path) -> DagRuns:
    """Azure's brokers are told to be where the real one is, whose listener is as the cluster's."""
    host, _, port = environment.kafka_bootstrap.partition(":")
    azure.clusters_password = PASSWORD
    azure.ambari.addresses = [host] * 3
    azure.ambari.current("kafka-broker")["listeners"] = f"PLAINTEXT://0.0.0.0:{port}"
    azure.ambari.started_with = {f"wn{n}-kafka.{DOMAIN}": dict(azure.ambari.desired) for n in range(3)}
    return DagRuns(tmp_path / "airflow")


def test_clusters_of_one_network_come_and_go_and_the_lake_stays(
    form: dict[str, object], dags: DagRuns, azure: Azure, azure_judge: Judge
) -> None:
    form["layout"] = "hdinsight"
    states = dags.run("provision", form)
    assert set(states.values()) == {"success", "skipped"}, dags.said[-5000:]
    assert {name for name, state in states.items() if state == "skipped" and name.startswith("azure.")} == {
        *("azure.records", "azure.named", "azure.advertised"),  # Spark is in the brokers' network
    }
    assert states["azure.reached"] == "success"
    both = {"kafka-": "Succeeded", "spark-": "Succeeded"}
    assert clusters(azure) == both

    end = {**WHOSE, "stop_streams": False}
    assert dags.run("teardown", {**end, "clusters": "spark"})["delete_clusters"] == "success"
    assert clusters(azure) == {"kafka-": "Succeeded"}
    assert dags.run("teardown", {**end, "clusters": "all"})["delete_clusters"] == "failed"
    assert clusters(azure) == {"kafka-": "Succeeded"}, "its records need the confirmation"
    assert dags.run("teardown", {**end, "clusters": "all", "confirmation": ALL})["delete_clusters"] == "success"
    assert clusters(azure) == {}
    kept = {one.resource.type for one in azure.manager.resources.others()}
    assert {"Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"} <= kept

    assert dags.run("provision", form)["azure.reached"] == "success"
    assert clusters(azure) == both
    states = dags.run("teardown", {**end, "delete_data": True, "confirmation": ALL})
    assert (states["delete_environment"], states["delete_clusters"]) == ("success", "skipped")
    assert azure.manager.resources.groups() == []
    assert mistakes(azure, azure_judge) == []


def test_a_peered_network_is_told_the_brokers_names(
    form: dict[str, object], dags: DagRuns, azure: Azure, azure_judge: Judge
) -> None:
    states = dags.run("provision", {**form, "layout": "databricks", "brokers": "names"})
    assert (states["azure.named"], states["azure.advertised"], states["azure.reached"]) == ("success",) * 3
    assert sorted(zones(azure)) == [f"{DOMAIN}/wn{n}-kafka" for n in range(3)]
    assert mistakes(azure, azure_judge) == []


def test_event_hubs_take_the_place_of_a_cluster(
    form: dict[str, object], dags: DagRuns, azure: Azure, azure_judge: Judge
) -> None:
    states = dags.run("provision", {**form, "layout": "databricks", "kafka": "eventhubs"})
    assert (states["azure.peered"], states["azure.advertised"], states["azure.topics"]) == (
        "success",
        "skipped",
        "success",
    )
    assert "topic stock_ticks: made by the deployment, 4 partitions" in dags.said
    assert clusters(azure) == {}
    assert mistakes(azure, azure_judge) == []

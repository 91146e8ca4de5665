"""`provision` and `teardown` of clusters in one network, run by Airflow's own rules.

Azure's control plane is the tests'; what is provisioned is reached through a real Livy, on YARN, with a Kafka that asks
for a login.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.environment import Environment
from tests.azure_control_plane.cloud import Azure
from tests.conformance.certificates import Certificates
from tests.infra.deployments import PASSWORD
from tests.plugins.azure.deploy.dag_runs import DagRuns
from tests.plugins.azure.deploy.form import FORM, WHOSE
from tests.plugins.azure.deploy.test_batch_cluster import clusters
from tests.plugins.azure.deploy.tries import CLUSTERS_CONNECTION

pytestmark = pytest.mark.timeout(1800)

BOTH = {"kafka-": "Succeeded", "spark-": "Succeeded"}
ALL = "delete everything"
END = {**WHOSE, "stop_streams": False}


@pytest.fixture
def dags(
    hdinsight: Environment,
    certificates: Certificates,
    azure: Azure,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> DagRuns:
    """The environment's file says where Kafka is, for this machine does not know the brokers' names."""
    monkeypatch.setenv("MILLRACE_ENVIRONMENTS", str(certificates.ca.parent / "environments"))
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_CLUSTERS", CLUSTERS_CONNECTION)
    port = hdinsight.kafka_bootstrap.rpartition(":")[2]
    azure.clusters_password = PASSWORD
    azure.ambari.current("kafka-broker")["listeners"] = f"SASL_SSL://0.0.0.0:{port}"
    return DagRuns(tmp_path / "airflow")


def test_clusters_of_one_network_come_and_go_and_the_lake_stays(dags: DagRuns, azure: Azure) -> None:
    form = {**FORM, "layout": "hdinsight", "environment": "hdinsight"}
    first = dags.run("provision", form)
    assert set(first.states.values()) == {"success", "skipped"}, first.said[-9000:]
    assert {name for name, state in first.states.items() if state == "skipped" and name.startswith("azure.")} == {
        *("azure.records", "azure.named", "azure.advertised"),  # Spark is in the brokers' network
    }
    assert [broker["unreached"] for broker in first.returned["azure.reached"]["brokers"]] == [{}]
    assert clusters(azure) == BOTH

    assert dags.run("teardown", {**END, "clusters": "spark"}).states["delete_clusters"] == "success"
    assert clusters(azure) == {"kafka-": "Succeeded"}
    assert dags.run("teardown", {**END, "clusters": "all"}).states["stop_streams"] == "failed"
    assert clusters(azure) == {"kafka-": "Succeeded"}, "its records need the confirmation"
    end = {**END, "clusters": "all", "confirmation": ALL}
    assert dags.run("teardown", end).states["delete_clusters"] == "success"
    assert clusters(azure) == {}
    kept = {one.resource.type for one in azure.manager.resources.others()}
    assert {"Microsoft.Storage/storageAccounts", "Microsoft.KeyVault/vaults"} <= kept

    assert dags.run("provision", form).states["azure.reached"] == "success"
    assert clusters(azure) == BOTH
    gone = dags.run("teardown", {**END, "delete_data": True, "confirmation": ALL})
    assert gone.ended("delete_environment", "delete_clusters") == ["success", "skipped"]
    assert azure.manager.resources.groups() == []

"""`provision` with Databricks, run by Airflow's own rules: brokers by name, and Event Hubs. Spark and Kafka are real.

Clusters of one network are in `tests/conformance/test_provision.py`: their Spark is reached through Livy.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.environment import Environment
from millrace.home import Home
from tests.azure_control_plane.cloud import Azure
from tests.end_to_end.databricks_environment import databricks_environment
from tests.infra.deployments import PASSWORD
from tests.plugins.azure.deploy.dag_runs import DagRuns
from tests.plugins.azure.deploy.form import FORM
from tests.plugins.azure.deploy.test_batch_cluster import clusters
from tests.plugins.azure.deploy.test_broker_names import DOMAIN, zones

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(1200)]


@pytest.fixture
def form(
    stack: Home, environment: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator[dict[str, object]]:
    """Its environment says where Kafka is, for this machine does not know the brokers' names."""
    monkeypatch.setenv("MILLRACE_HOME", str(stack.root))
    with databricks_environment(stack, tmp_path, environment.kafka_bootstrap) as name:
        yield {**FORM, "layout": "databricks", "environment": name}


@pytest.fixture
def dags(azure: Azure, environment: Environment, tmp_path: Path) -> DagRuns:
    """Azure's brokers are told to be where the real one is, whose listener is as the cluster's."""
    host, _, port = environment.kafka_bootstrap.partition(":")
    azure.clusters_password = PASSWORD
    azure.ambari.addresses = [host] * 3
    azure.ambari.current("kafka-broker")["listeners"] = f"PLAINTEXT://0.0.0.0:{port}"
    azure.ambari.started_with = {f"wn{n}-kafka.{DOMAIN}": dict(azure.ambari.desired) for n in range(3)}
    return DagRuns(tmp_path / "airflow")


def test_a_peered_network_is_told_the_brokers_names(form: dict[str, object], dags: DagRuns, azure: Azure) -> None:
    run = dags.run("provision", {**form, "brokers": "names"})
    assert run.ended("azure.named", "azure.advertised", "azure.reached") == ["success"] * 3, run.said[-9000:]
    assert sorted(zones(azure)) == [f"{DOMAIN}/wn{n}-kafka" for n in range(3)]


def test_event_hubs_take_the_place_of_a_cluster(form: dict[str, object], dags: DagRuns, azure: Azure) -> None:
    run = dags.run("provision", {**form, "kafka": "eventhubs"})
    assert run.ended("azure.peered", "azure.advertised", "azure.topics") == ["success", "skipped", "success"]
    made = "made by the deployment, 3 partitions, kept for 168 h"  # 3 as in the stack's Kafka, which stands in for it
    assert run.returned["azure.topics"] == {"stock_ticks": made, "stock_alerts": made}
    assert clusters(azure) == {}

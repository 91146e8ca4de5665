"""What a deployment tells of an environment, whose file leaves it empty; and Event Hubs' topics."""

from __future__ import annotations

import json
import subprocess
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from airflow.sdk.exceptions import AirflowFailException

from jobs.errors import MillraceError
from millrace.azure.advertising import SCRIPT
from millrace.azure.ambari import Ambari
from millrace.azure.endpoints import bootstrap_of, differing, kafka_protocol, told_by, written
from millrace.environment import environment_file, load_environment
from millrace.home import PROJECT_ROOT
from millrace.operators.check_brokers import CheckBrokersOperator
from millrace.platforms.hdinsight_settings import HdinsightSettings
from millrace.tasks.azure import advertise
from tests.azure_control_plane.cloud import Azure
from tests.infra import ambari as stand_in
from tests.plugins.azure.deploy.tries import A, finished

BROKERS = "wn0-kafka:9092,wn1-kafka:9092,wn2-kafka:9092"


@pytest.fixture
def ambari() -> Iterator[Ambari]:
    server = stand_in.serve(stand_in.Ambari("PLAINTEXT://localhost:9092,SASL_SSL://localhost:9093"))
    yield Ambari(f"http://127.0.0.1:{server.server_address[1]}", "admin", "a-password")
    server.shutdown()
    server.server_close()


def test_the_file_that_ships_is_completed_by_the_deployments_outputs(azure: Azure) -> None:
    told = told_by(finished(A), BROKERS)
    environment = load_environment("hdinsight", told=told)
    assert environment.kafka_bootstrap == BROKERS
    assert environment.storage.blob_endpoint == f"https://{told['lake']['account']}.blob.core.windows.net"
    settings = HdinsightSettings.of(environment)
    assert settings.gateway.startswith("https://spark-mr-dev-")
    assert settings.gateway.endswith(".azurehdinsight.net")
    assert settings.spark["spark.executor.instances"] == "1", "what the file says stays"
    assert told["lake"]["account"] in written(told)


def test_what_the_file_says_wins_and_the_difference_is_told(tmp_path: Path) -> None:
    own = '[lake]\naccount = "mine"\ncontainer = "lake"\npath = "p"\n[kafka]\nbootstrap = ""\n'
    (tmp_path / "own.toml").write_text(f'platform = "hdinsight"\n{own}')
    told = {"lake": {"account": "made"}, "kafka": {"bootstrap": BROKERS}}
    environment = load_environment("own", told=told, folder=tmp_path)
    assert (environment.storage.account_name, environment.kafka_bootstrap) == ("mine", BROKERS)
    (line,) = differing(environment_file("own", tmp_path), told)
    assert "lake.account is 'mine', the deployment's is 'made'" in line


def test_where_the_file_is_incomplete_the_check_says_what_to_write() -> None:
    told = {"lake": {"account": "made"}, "databricks": {"host": "https://adb-1.2.azuredatabricks.net"}}
    told["kafka"] = {"bootstrap": BROKERS}
    check = CheckBrokersOperator(task_id="reached", environment="databricks", told=told)
    with pytest.raises(AirflowFailException, match=r"databricks\.code is ''; .* is not proven: complete the file"):
        check.execute({})


@pytest.mark.parametrize(
    ("kafka", "protocol", "bootstrap"),
    [
        ("", "PLAINTEXT", BROKERS),
        ('connection = "millrace_kafka"', "SASL_SSL", BROKERS.replace("9092", "9093")),
        ('connection = "x"\n"security.protocol" = "plaintext"', "PLAINTEXT", BROKERS),
    ],
)
def test_brokers_are_told_at_the_port_that_speaks_what_the_clients_speak(
    tmp_path: Path, ambari: Ambari, kafka: str, protocol: str, bootstrap: str
) -> None:
    (tmp_path / "own.toml").write_text(f"[kafka]\n{kafka}\n")
    assert kafka_protocol(environment_file("own", tmp_path)) == protocol
    assert bootstrap_of(ambari, protocol, by_address=False) == bootstrap


def test_brokers_that_advertise_addresses_are_told_at_the_port_of_the_clients(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Kafka asks for a login, so its brokers have another port."""
    cluster = stand_in.Ambari("PLAINTEXT://localhost:9092,SASL_SSL://localhost:9093")
    server = stand_in.serve(cluster)
    password = {"conn_type": "generic", "login": "admin", "password": "a-password"}
    monkeypatch.setenv("AIRFLOW_CONN_GATEWAY", json.dumps(password))
    name = f"tests-{uuid.uuid4().hex[:8]}"
    file = PROJECT_ROOT / "infra" / "environments" / f"{name}.toml"
    gateway = f"http://127.0.0.1:{server.server_address[1]}"
    outputs = {"storageAccount": "millracelake", "kafkaGateway": gateway}
    own = 'container = "lake"\npath = "p"\n[kafka]\nconnection = "gateway"\n'
    try:
        file.write_text(f'platform = "databricks"\n[lake]\naccount = ""\n{own}')
        fragment = subprocess.run([str(SCRIPT), "fragment"], text=True, capture_output=True, check=True).stdout
        cluster.current("kafka-broker")["listeners"] = "PLAINTEXT://0.0.0.0:9092,SASL_SSL://0.0.0.0:9093"
        cluster.current("kafka-env")["content"] += fragment  # as after a first run: no broker has to be restarted
        assert advertise(outputs, name, "gateway") == ["10.60.0.4:9093", "10.60.0.5:9093", "10.60.0.6:9093"]
    finally:
        file.unlink()
        server.shutdown()
        server.server_close()


def test_a_protocol_that_no_listener_speaks_is_told(ambari: Ambari) -> None:
    assert bootstrap_of(ambari, "SASL_SSL", by_address=True) == "10.60.0.4:9093,10.60.0.5:9093,10.60.0.6:9093"
    with pytest.raises(MillraceError, match="clients are set to SSL, which none of them speaks; set kafka-broker"):
        bootstrap_of(ambari, "SSL", by_address=True)

"""An environment on Azure: endpoints from names, secrets from elsewhere, and errors that say what to write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.environment import Environment, load_environment
from millrace.home import Home
from tests.environment_files import HDINSIGHT

AZURE = (
    HDINSIGHT
    + """[kafka]
bootstrap = "wn0-kafka.internal:9092,wn1-kafka.internal:9092"
"""
)
PASSWORD = 'p"w\\d;'


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    return Home.current()


def load(folder: Path, text: str) -> Environment:
    (folder / "azure.toml").write_text(text)
    return load_environment("azure", folder=folder)


def keep(home: Home, connection: str, mode: int = 0o600) -> Path:
    path = home.secrets / "connections" / f"{connection}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"login": "millrace", "password": PASSWORD}))
    path.chmod(mode)
    return path


def test_names_become_azures_endpoints(tmp_path: Path) -> None:
    environment = load(tmp_path, AZURE)
    assert environment.lake == "abfss://lake@millracelake.dfs.core.windows.net/millrace"
    assert environment.storage.blob_endpoint == "https://millracelake.blob.core.windows.net"
    assert environment.kafka_bootstrap == "wn0-kafka.internal:9092,wn1-kafka.internal:9092"
    assert environment.kafka_options == {}


def test_by_identity_no_secret_reaches_a_driver(tmp_path: Path) -> None:
    environment = load(tmp_path, AZURE)
    assert environment.hadoop_options() == {}
    with pytest.raises(MillraceError, match=r"environment 'azure': .*used by identity"):
        environment.account_key()


def test_a_key_is_the_password_of_its_connection(tmp_path: Path, home: Home) -> None:
    keep(home, "millrace_lake")
    environment = load(tmp_path, AZURE.replace("[kafka]", 'key_connection = "millrace_lake"\n[kafka]'))
    assert environment.delta_options()["azure_storage_account_key"] == PASSWORD
    assert environment.delta_options()["allow_http"] == "false"
    assert environment.hadoop_options() == {
        "fs.azure.account.key.millracelake.dfs.core.windows.net": PASSWORD,
    }


def test_a_login_to_kafka_is_told_to_both_kinds_of_client(tmp_path: Path, home: Home) -> None:
    keep(home, "millrace_kafka")
    ca = tmp_path / "ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----")
    environment = load(tmp_path, f'{AZURE}connection = "millrace_kafka"\n"ssl.ca.location" = "{ca}"\n')
    assert environment.kafka_options == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": "millrace",
        "sasl.password": PASSWORD,
        "ssl.ca.location": str(ca),
    }
    assert environment.hadoop_options() == {
        "millrace.kafka.security.protocol": "SASL_SSL",
        "millrace.kafka.sasl.mechanism": "PLAIN",
        "millrace.kafka.sasl.jaas.config": (
            "org.apache.kafka.common.security.plain.PlainLoginModule required"
            ' username="millrace" password="p\\"w\\\\d;";'
        ),
        "millrace.kafka.ssl.truststore.type": "PEM",
        "millrace.kafka.ssl.truststore.certificates": "-----BEGIN CERTIFICATE-----",
    }


def test_secrets_are_in_no_repr(tmp_path: Path, home: Home) -> None:
    keep(home, "millrace_kafka")
    environment = load(tmp_path, f'{AZURE}connection = "millrace_kafka"\n')
    assert environment.kafka_options["sasl.password"] == PASSWORD
    assert repr(PASSWORD)[1:-1] not in repr(environment)


def test_a_file_that_others_may_read_is_refused(tmp_path: Path, home: Home) -> None:
    path = keep(home, "millrace_kafka", 0o640)
    environment = load(tmp_path, f'{AZURE}connection = "millrace_kafka"\n')
    with pytest.raises(MillraceError, match=rf"{path}: its mode is 640; .*chmod 600"):
        _ = environment.kafka_options


def test_a_connection_that_is_nowhere_is_named_with_both_places(tmp_path: Path, home: Home) -> None:
    environment = load(tmp_path, f'{AZURE}connection = "millrace_nowhere"\n')
    with pytest.raises(MillraceError, match=r"'millrace_nowhere': .*Admin > Connections.*millrace_nowhere\.json"):
        _ = environment.kafka_options


def test_airflows_connection_is_used_where_there_is_no_file(
    tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(
        "AIRFLOW_CONN_MILLRACE_VAULT", json.dumps({"conn_type": "generic", "login": "a", "password": "b"})
    )
    environment = load(tmp_path, f'{AZURE}connection = "millrace_vault"\n')
    assert environment.kafka_options["sasl.username"] == "a"
    assert environment.kafka_options["sasl.password"] == "b"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        (AZURE.replace('"millracelake"', '""'), r"lake\.account is ''; give it .*output storageAccount"),
        (AZURE.replace("bootstrap", "servers"), r"kafka\.bootstrap is None; give it the brokers"),
        (AZURE.replace("path =", "folder ="), r"lake\.folder is 'millrace'; that is no setting; use one of: account, "),
        (AZURE + '"sasl.password" = "x"\n', r"kafka\.sasl\.password is '…'; secrets do not stand in a file"),
        (AZURE + 'security.protocol = "SSL"\n', r'kafka\.security is .*in quotes: "security\.protocol"'),
        (AZURE + '"sasl.mechanism" = "GSSAPI"\n', r"sasl\.mechanism is 'GSSAPI'; use one of: PLAIN"),
        (AZURE + '"ssl.cipher.suites" = "x"\n', r"ssl\.cipher\.suites is 'x'; of these settings drivers know"),
        (AZURE + "[local]\n", r"local is \{\}; that is no setting"),
    ],
)
def test_an_unsound_file_is_refused_with_a_remedy(tmp_path: Path, text: str, complaint: str) -> None:
    with pytest.raises(MillraceError, match=complaint):
        load(tmp_path, text)


def test_the_file_that_ships_says_what_to_fill_in() -> None:
    with pytest.raises(MillraceError, match=r"hdinsight\.toml: lake\.account is ''"):
        load_environment("hdinsight")

"""Airflow's settings follow the stack, keep their secrets private, and owe nothing to another Airflow."""

from __future__ import annotations

import configparser
import json
from pathlib import Path

import pytest

from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.stack.airflow_settings import admin_password, process_environment, write_connections, write_settings
from millrace.stack.private_file import write_private
from millrace.stack.settings import save_settings


@pytest.fixture
def environment(home: Home) -> Environment:
    save_settings(home, "kafka", port=9092)
    save_settings(home, "azurite", port=10000)
    write_private(home.secrets / "azurite.key", "a2V5")
    return load_environment("local", home=home)


def settings(home: Home) -> configparser.ConfigParser:
    parser = configparser.ConfigParser()
    parser.read(home.airflow / "airflow.cfg")
    return parser


def test_keys_and_password_survive_a_second_start(home: Home) -> None:
    write_settings(home, 8080)
    first, password = settings(home), admin_password(home)
    write_settings(home, 8081)
    second = settings(home)
    assert second["api"]["base_url"] == "http://127.0.0.1:8081"
    assert second["core"]["execution_api_server_url"] == "http://127.0.0.1:8081/execution/"
    for section, name in (("core", "fernet_key"), ("api", "secret_key"), ("api_auth", "jwt_secret")):
        assert first[section][name] == second[section][name]
    assert json.loads((home.airflow / "passwords.json").read_text()) == {"admin": password}


def test_the_lake_is_a_connection(home: Home, environment: Environment) -> None:
    write_settings(home, 8080)
    write_connections(home, environment)
    backend = json.loads(settings(home)["secrets"]["backend_kwargs"])
    connection = json.loads(Path(backend["connections_file_path"]).read_text())["millrace_lake"]
    assert connection["conn_type"] == "wasb"
    assert connection["host"] == "http://127.0.0.1:10000/devstoreaccount1"
    assert (connection["login"], connection["password"]) == ("devstoreaccount1", "a2V5")


def test_every_file_is_private(home: Home, environment: Environment) -> None:
    write_settings(home, 8080)
    write_connections(home, environment)
    files = [path for folder in (home.airflow, home.secrets) for path in folder.iterdir()]
    assert len(files) == 6
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


def test_settings_of_another_airflow_are_taken_out(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://production")
    monkeypatch.setenv("AIRFLOW_HOME", "/somewhere/else")
    changes = process_environment(home)
    assert changes["AIRFLOW__DATABASE__SQL_ALCHEMY_CONN"] is None
    assert changes["AIRFLOW_HOME"] == str(home.airflow)
    assert changes["MILLRACE_HOME"] == str(home.root)

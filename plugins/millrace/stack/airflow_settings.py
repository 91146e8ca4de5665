"""Airflow's settings, user and connection for this machine: files (0600) below `<home>/airflow`, made from scratch."""

from __future__ import annotations

import json
import os
import secrets
import sys
from pathlib import Path

from cryptography.fernet import Fernet

from millrace.environment import Environment
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.private_file import read_or_create, write_private
from millrace.stack.settings import LOOPBACK

__all__ = [
    "ADMIN",
    "LAKE_CONNECTION",
    "admin_password",
    "process_environment",
    "write_connections",
    "write_settings",
]

ADMIN = "admin"
LAKE_CONNECTION = "millrace_lake"
_TEMPLATE = PROJECT_ROOT / "infra" / "local" / "airflow.cfg"


def write_settings(home: Home, port: int) -> None:
    """Write airflow.cfg and the passwords file; secrets made earlier are kept."""
    keys = _keys(home)
    values = {
        "url": f"http://{LOOPBACK}:{port}",
        "host": LOOPBACK,
        "port": str(port),
        "airflow": str(home.airflow),
        "root": str(PROJECT_ROOT),
        "user": ADMIN,
        **keys,
    }
    escaped = {name: value.replace("%", "%%") for name, value in values.items()}
    write_private(home.airflow / "airflow.cfg", _TEMPLATE.read_text(encoding="utf-8").format_map(escaped))
    write_private(home.airflow / "passwords.json", json.dumps({ADMIN: admin_password(home)}))


def write_connections(home: Home, environment: Environment) -> None:
    """Write the connections that tasks find: the lake's storage account, under `millrace_lake`."""
    write_private(home.airflow / "connections.json", json.dumps({LAKE_CONNECTION: _lake_connection(environment)}))


def admin_password(home: Home) -> str:
    """The generated password of the user `admin`, kept in `<home>/secrets/airflow_admin`."""
    return read_or_create(home.secrets / "airflow_admin", lambda: secrets.token_urlsafe(12))


def process_environment(home: Home) -> dict[str, str | None]:
    """What Airflow's processes, and the tasks and drivers below them, find in their environment.

    Settings of another Airflow in the caller's environment are taken out: this one must not touch that one.
    """
    foreign: dict[str, str | None] = {name: None for name in os.environ if name.startswith("AIRFLOW_")}
    return foreign | {
        "AIRFLOW_HOME": str(home.airflow),
        "MILLRACE_HOME": str(home.root),
        "MILLRACE_DOWNLOADS": str(home.downloads),
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", os.defpath)]),
        "PYTHONPATH": os.pathsep.join(filter(None, [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")])),
        "PYTHONUNBUFFERED": "1",
    }


def _keys(home: Home) -> dict[str, str]:
    """Signing and encryption keys: those of the first start, or else stored values could not be read again."""

    def make() -> str:
        names = ("jwt_secret", "secret_key")
        made = {name: secrets.token_urlsafe(64) for name in names} | {"fernet_key": Fernet.generate_key().decode()}
        return json.dumps(made)

    keys: dict[str, str] = json.loads(read_or_create(home.secrets / "airflow_keys.json", make))
    return keys


def _lake_connection(environment: Environment) -> dict[str, str]:
    return {
        "conn_type": "wasb",
        "description": "The lake's storage account",
        "host": environment.storage.blob_endpoint,
        "login": environment.storage.account_name,
        "password": environment.account_key(),
    }

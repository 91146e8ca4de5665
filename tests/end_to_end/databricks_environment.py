"""An environment whose Spark is the tests' Databricks workspace, and whose Kafka and lake are a local stack's."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from millrace.environment import Environment, load_environment
from millrace.home import PROJECT_ROOT, Home
from millrace.platforms.databricks_client import connect_workspace
from millrace.platforms.databricks_policy import prepare_policy
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.stack.private_file import write_private
from tests.plugins.platforms.databricks.engine import spark_table, spark_workspace
from tests.plugins.platforms.databricks.server import serve

__all__ = ["databricks_environment", "environment_file"]

_PRINCIPAL, _SECRET = "0d5c1f6e-application", "dose0123456789-the-principals-secret"


@contextmanager
def databricks_environment(home: Home, folder: Path, bootstrap: str = "") -> Iterator[str]:
    """Its name: the file lies with the others until the end of the block. `bootstrap`: where it says that Kafka is."""
    local = load_environment("local", home=home)
    name = f"tests-{uuid.uuid4().hex[:8]}"
    file = PROJECT_ROOT / "infra" / "environments" / f"{name}.toml"
    with serve(spark_workspace(local, folder / "workspace")) as server:
        server.logins[_PRINCIPAL] = _SECRET
        _keep(home, "dbx", _PRINCIPAL, _SECRET)
        _keep(home, "lake", "key", local.account_key())
        try:
            file.write_text(environment_file(local, server.host, "provisioned", bootstrap))
            settings = DatabricksSettings.of(load_environment(name, told={"kafka": {"bootstrap": "-"}}).platform_table)
            prepare_policy(connect_workspace(settings), settings)
            yield name
        finally:
            file.unlink(missing_ok=True)
        assert server.unfit == []


def environment_file(local: Environment, host: str, path: str, bootstrap: str) -> str:
    """The text of one: its workspace is at `host`, its lake at `path` in the local stack's container.

    It names the connections `dbx` and `lake`.
    """
    databricks = spark_table(local, host, "dbx")
    tables = {
        "lake": {
            "account": local.storage.account_name,
            "blob_endpoint": local.storage.blob_endpoint,
            "container": local.storage.container,
            "path": path,
            "key_connection": "lake",
        },
        "kafka": {"bootstrap": bootstrap},
        "databricks.secrets": databricks.pop("secrets"),
        "databricks.spark": databricks.pop("spark"),
        "databricks": databricks,
    }
    return _toml(tables)


def _toml(tables: dict[str, dict[str, str]]) -> str:
    """A JSON text is a TOML text."""
    lines = ['platform = "databricks"']
    for name, fields in tables.items():
        lines += [f"[{name}]", *(f"{json.dumps(field)} = {json.dumps(value)}" for field, value in fields.items())]
    return "\n".join(lines)


def _keep(home: Home, connection: str, login: str, password: str) -> None:
    text = json.dumps({"login": login, "password": password})
    write_private(home.secrets / "connections" / f"{connection}.json", text)

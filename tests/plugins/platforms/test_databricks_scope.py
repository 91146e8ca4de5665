"""The secret scope that `millrace azure databricks` makes: Azure keeps its secrets, in the environment's Key Vault."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from millrace.environment import load_environment
from millrace.platforms.databricks_client import connect_workspace
from millrace.platforms.databricks_preparation import KeyVault, prepare
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.stack.private_file import write_private
from tests.plugins.platforms.databricks.drivers import TOKEN
from tests.plugins.platforms.databricks.server import Server

FILE = """
platform = "databricks"
lake = { account = "millracelake", container = "lake", path = "millrace" }
kafka = { bootstrap = "hubs.servicebus.windows.net:9093", connection = "hubs" }
[databricks]
host = "https://adb-1.2.azuredatabricks.net"
code = "/Volumes/main/millrace/code"
connection = "dbx"
[databricks.secrets]
"millrace.kafka.sasl.jaas.config" = "kafka-jaas"
"""
VAULT = KeyVault(
    "/subscriptions/1/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v", "https://v.vault.azure.net/"
)


def test_the_scope_is_backed_by_the_key_vault(server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    login = f'{{"login": "token", "password": "{TOKEN}"}}'
    write_private(tmp_path / "home" / "secrets" / "connections" / "dbx.json", login)
    server.access.add(TOKEN)
    server.workspace.secrets["millrace", "kafka-jaas"] = "of the vault"
    (tmp_path / "hubs.toml").write_text(FILE)
    settings = replace(
        DatabricksSettings.of(load_environment("hubs", folder=tmp_path).platform_table), host=server.host
    )
    list(prepare(connect_workspace(settings), settings, VAULT))
    assert server.workspace.scopes == {
        "millrace": {
            "name": "millrace",
            "backend_type": "AZURE_KEYVAULT",
            "keyvault_metadata": {"resource_id": VAULT.resource_id, "dns_name": "https://v.vault.azure.net/"},
        }
    }
    list(prepare(connect_workspace(settings), settings, None))
    made = [one.path for one in server.requests if one.method == "POST" and "secrets" in one.path]
    assert made == ["/api/2.0/secrets/scopes/create"], "the second time nobody has to name the vault"

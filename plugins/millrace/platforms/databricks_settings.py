"""The table `[databricks]` of an environment's file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field

from millrace.environment_file import Table
from millrace.platforms.databricks_runtime import RUNTIME, check_runtime
from millrace.platforms.redaction import refuse_secrets

__all__ = ["REAL_TIME", "DatabricksSettings"]

_TEXTS = ("connection", "azure_tenant_id", "driver_node_type", "pool", "logs")
_LOGINS = ("databricks", "entra")
_DEFAULTS = {"policy": "millrace", "runtime": RUNTIME, "node_type": "Standard_D4ds_v5", "secret_scope": "millrace"}
_KNOWN = ("host", "code", "login", "workers", *_TEXTS, *_DEFAULTS, "secrets", "spark")
_VOLUME = re.compile(r"/Volumes/[^/]+/[^/]+/[^/]+(/[^/]+)*")
REAL_TIME = "spark.databricks.streaming.realTimeMode.enabled"
"""Its sinks and operators: https://learn.microsoft.com/azure/databricks/structured-streaming/real-time/reference"""

_REFERENCE = r"\{\{secrets/[\w.@-]+/[\w.@-]+\}\}"


@dataclass(frozen=True)
class DatabricksSettings:
    """Which workspace, and the compute of its jobs.

    `host`: `https://adb-<number>.<number>.azuredatabricks.net`. `connection`: the Airflow connection with the login;
    None: as oneself. `is_azure_connection`: it is one of type `azure`, whose identity asks Entra for tokens.
    `azure_tenant_id`: the tenant of the service principal that another connection holds. `code` and `logs`: folders of
    Unity Catalog volumes. `runtime`: one with long-term support, see `databricks_runtime`. `workers`: Spark executors'
    machines, 0 for a driver alone. `pool`: an instance pool's id, in place of the node types. `secrets`: settings of
    Hadoop, each with the name of the secret in `secret_scope` that is its value. `spark`: further settings of Spark.
    """

    host: str
    code: str
    connection: str | None = None
    is_azure_connection: bool = False
    azure_tenant_id: str | None = None
    policy: str = _DEFAULTS["policy"]
    runtime: str = RUNTIME
    node_type: str = _DEFAULTS["node_type"]
    driver_node_type: str | None = None
    pool: str | None = None
    workers: int = 1
    logs: str | None = None
    secret_scope: str = _DEFAULTS["secret_scope"]
    secrets: Mapping[str, str] = field(default_factory=dict)
    spark: Mapping[str, str] = field(default_factory=dict)

    def secret_names(self) -> list[str]:
        """The settings of Spark whose values Databricks takes from a scope."""
        own = [name for name, value in self.spark.items() if re.search(_REFERENCE, value)]
        return [*own, *(f"spark.hadoop.{name}" for name in self.secrets)]

    @classmethod
    def of(cls, table: Table) -> DatabricksSettings:
        """Raises MillraceError for what is missing, unknown or unsound, and for a secret that stands in the file."""
        table.refuse_unknown(_KNOWN)
        workers = table.values.get("workers", 1)
        if not isinstance(workers, int) or not 0 <= workers <= 100:
            raise table.error("workers", workers, "use a number from 0 (a driver alone) to 100")
        login = table.optional_text("login") or "databricks"
        if login not in _LOGINS:
            raise table.error("login", login, f"use one of: {', '.join(_LOGINS)}")
        tenant = table.optional_text("azure_tenant_id")
        if login == "entra" and tenant:
            raise table.error("azure_tenant_id", tenant, "with login entra the connection says it")
        texts = {name: table.optional_text(name) for name in _TEXTS}
        chosen = {name: table.optional_text(name) or default for name, default in _DEFAULTS.items()}
        check_runtime(table, chosen["runtime"])
        _check_volume(table, "logs", texts["logs"])
        return cls(
            host=_host(table),
            code=_volume(table),
            is_azure_connection=login == "entra",
            workers=workers,
            secrets=table.table("secrets").texts(),
            spark=_spark(table.table("spark")),
            **texts,  # type: ignore[arg-type]  # those that may be None
            **chosen,
        )


def _host(table: Table) -> str:
    host = table.text("host", "the workspace's address, https://adb-….azuredatabricks.net")
    # A token is sent there: unencrypted to this machine alone.
    if not re.fullmatch(r"https://[\w.-]+(:\d+)?/?|http://127\.0\.0\.1:\d+", host):
        raise table.error("host", host, "write https:// and the host")
    return host.rstrip("/")


def _volume(table: Table) -> str:
    path = table.text("code", "a folder of a volume, /Volumes/<catalog>/<schema>/<volume>/…").rstrip("/")
    _check_volume(table, "code", path)
    return path


def _check_volume(table: Table, name: str, path: str | None) -> None:
    if path is not None and not _VOLUME.fullmatch(path):
        raise table.error(name, path, "write a folder of a volume, /Volumes/<catalog>/<schema>/<volume>/…")


def _spark(table: Table) -> dict[str, str]:
    found = table.texts()
    if REAL_TIME in found:
        raise table.error(
            REAL_TIME,
            found[REAL_TIME],
            "the jobs of alerts have it by themselves; archives, speed layers and batch runs write Delta, which"
            " real-time mode does not: take the line out (docs/databricks.md)",
        )
    refuse_secrets(table, found, "use [databricks.secrets], or {{secrets/…/…}}", _REFERENCE)
    return found

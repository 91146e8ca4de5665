"""What an environment's file says of an HDInsight Spark cluster, in its table `[hdinsight]`."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

from millrace.environment import Environment
from millrace.environment_file import Table
from millrace.platforms.redaction import refuse_secrets

__all__ = ["HdinsightSettings"]

_KNOWN = ("cluster", "gateway", "ca_file", "login", "connection", "container", "path", "python", "spark")
_LOGINS = ("basic", "entra")
_CLUSTER = re.compile(r"[A-Za-z0-9][A-Za-z0-9-]{1,57}[A-Za-z0-9]")
_PYTHON = "/usr/bin/miniforge/envs/py38/bin/python"  # of HDInsight 5.1: the engine is Spark 3.3 with Python 3.8


@dataclass(frozen=True)
class HdinsightSettings:
    """`gateway`: its URL. `connection`: the Airflow connection with its login. A gateway that takes tokens of Microsoft
    Entra has a `token_scope`; the connection is of type `azure` then, or None: as oneself. `ca_file`: who signed its
    certificate, where that is no public authority. `container` and `path`: where on the cluster's own file system, in
    the lake's storage account, jobs are kept. `python`: on every node. `spark`: settings of every driver.
    """

    gateway: str
    ca_file: str | None
    connection: str | None
    token_scope: str | None
    container: str
    path: str
    python: str
    spark: Mapping[str, str]

    @classmethod
    def of(cls, environment: Environment) -> HdinsightSettings:
        """From the environment's file. Raises MillraceError for what is missing, unknown or unsound."""
        table = environment.platform_table
        table.refuse_unknown(_KNOWN)
        cluster = table.text("cluster", "the Spark cluster's name, the host in the deployment's output sparkGateway")
        if not _CLUSTER.fullmatch(cluster):
            raise table.error("cluster", cluster, "give it the name alone: 3 to 59 letters, digits and hyphens")
        login = table.optional_text("login") or "basic"
        if login not in _LOGINS:
            raise table.error("login", login, f"use one of: {', '.join(_LOGINS)}")
        is_basic = login == "basic"
        wanted = "the Airflow connection with the gateway's login and password"
        return cls(
            gateway=_gateway(table, cluster),
            ca_file=table.optional_text("ca_file"),
            connection=table.text("connection", wanted) if is_basic else table.optional_text("connection"),
            token_scope=None if is_basic else f"https://{cluster}.clusteraccess.azurehdinsight.net/.default",
            container=table.text("container", "the container of the cluster's own file system"),
            path=table.text("path", "a folder in that container"),
            python=table.optional_text("python") or _PYTHON,
            spark=_spark(table.table("spark")),
        )


def _gateway(table: Table, cluster: str) -> str:
    url = table.optional_text("gateway") or f"https://{cluster}.azurehdinsight.net"
    if not re.fullmatch(r"https://[\w.-]+(:\d+)?/?", url):  # the password is sent there
        raise table.error("gateway", url, "write https:// and the host; without the line it is the cluster's own")
    return url.rstrip("/")


def _spark(table: Table) -> dict[str, str]:
    found = table.texts()
    remedy = "Livy, YARN and Spark show these settings; name connections in lake.key_connection and kafka.connection"
    refuse_secrets(table, found, remedy)
    return found

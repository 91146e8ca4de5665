"""Real drivers for the workspace in tests: its clusters are processes here, with Spark, on the local stack."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

from jobs.session import EXACTNESS
from millrace.environment import Environment
from millrace.home import PROJECT_ROOT
from tests.plugins.platforms.databricks.workspace import Workspace

__all__ = ["spark_table", "spark_workspace"]

_INHERITED = ("PATH", "HOME", "JAVA_HOME", "LANG")
_KEY = "lake-key"


def spark_workspace(environment: Environment, folder: Path) -> Workspace:
    """A workspace whose secret scope holds the lake's key, as Key Vault would."""
    variables = {name: os.environ[name] for name in _INHERITED if name in os.environ}
    variables |= {
        "DATABRICKS_RUNTIME_VERSION": "17.3",
        "PYSPARK_PYTHON": sys.executable,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_CONF_DIR": str(PROJECT_ROOT / "plugins" / "millrace" / "platforms" / "spark_conf"),
    }
    return Workspace(folder, variables, secrets={("millrace", _KEY): environment.account_key()})


def spark_table(environment: Environment, host: str, connection: str) -> dict[str, Any]:
    """The table `[databricks]` of an environment whose jobs run there, on the local stack's Kafka and lake."""
    key = f"fs.azure.account.key.{environment.storage.dfs_host}"
    hadoop = {f"spark.hadoop.{name}": text for name, text in environment.hadoop_options().items() if name != key}
    engine = {
        "spark.master": "local[2]",
        "spark.millrace.stateStore": EXACTNESS["spark.sql.streaming.stateStore.providerClass"],
        "spark.driver.memory": "1g",
        "spark.driver.extraClassPath": os.pathsep.join(map(str, environment.spark_jars())),
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    return {
        "host": host,
        "code": "/Volumes/main/millrace/code",
        "logs": "/Volumes/main/millrace/logs",
        "connection": connection,
        "secrets": {key: _KEY},
        "spark": {**engine, **hadoop},
    }

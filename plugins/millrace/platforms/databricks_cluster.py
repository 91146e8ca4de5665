"""The cluster that a Databricks job gets, for itself alone and as long as it runs."""

from __future__ import annotations

import re

from databricks.sdk.service.compute import (
    ClusterLogConf,
    ClusterSpec,
    DataSecurityMode,
    RuntimeEngine,
    VolumesStorageInfo,
)

from jobs.errors import MillraceError
from millrace.credentials import Login
from millrace.environment import Environment
from millrace.kafka_settings import java_options, with_login
from millrace.platforms.databricks_runtime import RUNTIME, has_real_time
from millrace.platforms.databricks_settings import REAL_TIME, DatabricksSettings
from millrace.platforms.protocol import SparkJob
from millrace.platforms.redaction import redaction_of

__all__ = ["cluster_for"]

_KAFKA = "millrace.kafka."  # see jobs.connection
_SECRETS = ("sasl.jaas.config", "ssl.keystore.key", "ssl.key.password")
# https://learn.microsoft.com/azure/databricks/stateful-applications/rocksdb-state-store
_STATE_STORE = "com.databricks.sql.streaming.state.RocksDBStateStoreProvider"
_NOBODY = Login("", "")


def cluster_for(job: SparkJob, environment: Environment, settings: DatabricksSettings, policy: str) -> ClusterSpec:
    """`policy` is the policy's id. Secrets are named, never told: Databricks puts them in when the cluster starts, and
    Spark's UI there blots them out.

    Dedicated to one user (`SINGLE_USER`), for drivers use the JVM's classes, which shared compute refuses; without
    Photon and without autoscaling, which neither real-time mode nor an even latency goes with. Raises MillraceError
    where a job in real-time mode has a runtime without it, or fewer cores than tasks that run at once.
    """
    _check_real_time(job, settings)
    _check_slots(job, settings)
    alone = {"spark.databricks.cluster.profile": "singleNode", "spark.master": "local[*]"}
    conf = {
        **(alone if settings.workers == 0 else {}),
        "spark.millrace.stateStore": _STATE_STORE,
        **_hadoop(environment, settings),
        **settings.spark,
        **({REAL_TIME: "true"} if job.task_slots else {}),
        **job.conf,
        **redaction_of(settings.secret_names()),
    }
    return ClusterSpec(
        spark_version=settings.runtime,
        policy_id=policy,
        num_workers=settings.workers,
        instance_pool_id=settings.pool,
        node_type_id=None if settings.pool else settings.node_type,
        driver_node_type_id=None if settings.pool else settings.driver_node_type,
        data_security_mode=DataSecurityMode.SINGLE_USER,
        runtime_engine=RuntimeEngine.STANDARD,
        spark_conf=conf,
        custom_tags=_tags(environment, settings),
        cluster_log_conf=_log_delivery(settings),
    )


def _check_real_time(job: SparkJob, settings: DatabricksSettings) -> None:
    if job.task_slots and not has_real_time(settings.runtime):
        raise MillraceError(
            f"job {job.name!r}: databricks.runtime is {settings.runtime!r}; real-time mode needs 16.4 or newer: use"
            f" {RUNTIME!r}, or leave the DAG of alerts paused"
        )


def _check_slots(job: SparkJob, settings: DatabricksSettings) -> None:
    """Azure's names of sizes tell their cores. Those of a pool, and of a name that tells none, are not known here."""
    size = re.match(r"Standard_[A-Z]+(\d+)", settings.node_type)
    if settings.pool or size is None:
        return
    machines = max(1, settings.workers)  # a driver alone runs the tasks itself
    if (cores := machines * int(size.group(1))) < job.task_slots:
        raise MillraceError(
            f"job {job.name!r}: real-time mode reads {job.task_slots} partitions at once, each by a core of its own,"
            f" and {machines} x {settings.node_type} have {cores}; raise databricks.workers, or take a larger node_type"
        )


def _tags(environment: Environment, settings: DatabricksSettings) -> dict[str, str]:
    """By which the bill is split; the ResourceClass is what Databricks asks of a driver alone."""
    alone = {"ResourceClass": "SingleNode"} if settings.workers == 0 else {}
    return {"millrace-environment": environment.name, **alone}


def _log_delivery(settings: DatabricksSettings) -> ClusterLogConf | None:
    return ClusterLogConf(volumes=VolumesStorageInfo(destination=settings.logs)) if settings.logs else None


def _hadoop(environment: Environment, settings: DatabricksSettings) -> dict[str, str]:
    """How the driver gets in. Raises MillraceError where a secret that it needs has no name in the scope."""
    options = environment.kafka_settings
    if environment.kafka_connection is not None:
        options = with_login(options, _NOBODY)
    kafka = {f"{_KAFKA}{name}": value for name, value in java_options(options).items()}
    needed = {f"{_KAFKA}{name}" for name in _SECRETS} & set(kafka)
    if environment.storage.has_key:
        needed.add(f"fs.azure.account.key.{environment.storage.dfs_host}")
    if missing := sorted(needed - set(settings.secrets)):
        raise MillraceError(
            f"environment {environment.name!r}: a Databricks job needs the secret {missing[0]!r}; put it into the scope"
            f' {settings.secret_scope!r} and name it in the file: [databricks.secrets] "{missing[0]}" = "<its name>"'
        )
    secrets = {name: f"{{{{secrets/{settings.secret_scope}/{key}}}}}" for name, key in settings.secrets.items()}
    found = {name: value for name, value in kafka.items() if name not in needed} | secrets
    return {f"spark.hadoop.{name}": value for name, value in found.items()}

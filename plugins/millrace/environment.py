"""Environments: where Kafka and the lake are, and how to get in. One small file each in `infra/environments/`.

A file says `platform`, and the tables `[lake]`, `[kafka]`, and one named after the platform, which the platform reads.
`[replica]`, a second Kafka cluster, may be there.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from millrace.credentials import login_of
from millrace.environment_file import Table, read_file
from millrace.home import PROJECT_ROOT, Home
from millrace.kafka_settings import check_kafka_options, java_options, with_login
from millrace.replica import Replica, replica_of
from millrace.stack.azurite import ACCOUNT, account_key_file, blob_endpoint
from millrace.stack.jars import jar_files
from millrace.stack.kafka import bootstrap
from millrace.storage_account import StorageAccount

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

__all__ = [
    "Environment",
    "StorageAccount",
    "Told",
    "batch_environment",
    "default_environment",
    "environment_file",
    "environments_on",
    "load_environment",
]

_FOLDER = Path(os.environ.get("MILLRACE_ENVIRONMENTS") or PROJECT_ROOT / "infra" / "environments")
_PLATFORMS = ("local", "hdinsight", "databricks")
_LOCAL_LAKE = ("container", "path")
_AZURE_LAKE = ("account", *_LOCAL_LAKE, "key_connection", "blob_endpoint")
_BATCH = ".batch"
_AZURE_KAFKA = ("bootstrap", "connection")

Told = Mapping[str, Mapping[str, str]]
"""Values of an environment's file, by table and field."""


@dataclass(frozen=True)
class Environment:
    """One place where Millrace runs.

    `lake` is the URI below which all tables lie; `kafka_settings` are client settings under librdkafka's names, without
    secrets: those are the login and password of the Airflow connection `kafka_connection`. `platform_table` is the
    file's table for the platform, `batch_table` the one in it for a cluster that is made for batch runs. `replica` is
    the second Kafka cluster, None where the file names none.
    """

    name: str
    platform: str
    kafka_bootstrap: str
    kafka_settings: Mapping[str, str]
    lake: str
    storage: StorageAccount
    kafka_connection: str | None = None
    platform_table: Table = field(default=Table(Path(), "", {}), repr=False)
    batch_table: Table = field(default=Table(Path(), "", {}), repr=False)
    replica: Replica | None = None

    @cached_property
    def kafka_options(self) -> Mapping[str, str]:
        """Client settings under librdkafka's names, secrets included."""
        if self.kafka_connection is None:
            return self.kafka_settings
        return with_login(self.kafka_settings, login_of(self.kafka_connection))

    def account_key(self) -> str:
        """The storage account's key; raises MillraceError where there is none."""
        try:
            return self.storage.account_key()
        except MillraceError as error:
            raise MillraceError(f"environment {self.name!r}: {error}") from error

    def blob_service(self) -> BlobServiceClient:
        """A client of the account's blobs."""
        return self.storage.blob_service()

    def delta_options(self) -> dict[str, str]:
        """delta-rs's `storage_options` for tables below `lake`."""
        return self.storage.delta_options()

    def hadoop_options(self) -> dict[str, str]:
        """What a driver needs to get in, secrets included, as Hadoop's settings: for a file that only it can read.

        `jobs.connection` takes Kafka's from there.
        """
        kafka = {f"millrace.kafka.{name}": value for name, value in java_options(self.kafka_options).items()}
        return self.storage.hadoop_options() | kafka

    def spark_jars(self) -> list[Path]:
        """The jars that a local Spark driver needs beside pyspark's own; raises MillraceError before the download."""
        return jar_files("spark")


def load_environment(
    name: str | None = None, *, told: Told | None = None, home: Home | None = None, folder: Path = _FOLDER
) -> Environment:
    """The environment `name`, by default the one in MILLRACE_ENVIRONMENT, else "local".

    A name from `batch_environment` is the same environment on the cluster that is made for batch runs.

    `told` is what a deployment has told, by table and field of the file, for fields that the file leaves empty. Raises
    MillraceError for an unknown name, an unsound file, and "local" before the stack's first start. Secrets are read
    when they are needed, not here.
    """
    name = name or default_environment()
    file = environment_file(name.removesuffix(_BATCH), folder).filled(told or {})
    platform = file.values.get("platform")
    if platform not in _PLATFORMS:
        raise file.error("platform", platform, f"use one of: {', '.join(_PLATFORMS)}")
    home = home or Home.current()
    return _local(name, file, home) if platform == "local" else _azure(name, file, home)


def batch_environment(name: str | None = None, *, folder: Path = _FOLDER) -> str | None:
    """The name under which the environment's batch runs have a cluster that is made for them, and deleted after them;
    None where its file names none, in its table `[hdinsight.batch]`. It reads that file alone: DAGs are parsed by it.
    """
    name = name or default_environment()
    try:
        file = environment_file(name, folder)
    except MillraceError:  # told by the first task that needs the environment
        return None
    return name + _BATCH if file.table("hdinsight").table("batch").values.get("cluster") else None


def default_environment() -> str:
    """The name of the environment that is meant where none is named: of this process and, in Airflow, of its DAGs."""
    return os.environ.get("MILLRACE_ENVIRONMENT") or "local"


def environments_on(accounts: Collection[str], folder: Path = _FOLDER) -> list[str]:
    """The names of the environments whose lake lies in one of these storage accounts, by their files, sorted."""
    files = {path.stem: read_file(path) for path in sorted(folder.glob("*.toml"))}
    return [name for name, file in files.items() if file.table("lake").values.get("account") in accounts]


def environment_file(name: str, folder: Path = _FOLDER) -> Table:
    """The file of the environment `name`, as it stands. Raises MillraceError where there is none."""
    path = folder / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise MillraceError(f"environment {name!r}: {path} does not exist; the environments are: {known}")
    return read_file(path)


def _local(name: str, file: Table, home: Home) -> Environment:
    """Host, ports and keys are those of the stack in `home`."""
    lake = file.table("lake")
    lake.refuse_unknown(_LOCAL_LAKE)
    container, folder = (lake.text(each, "a name") for each in _LOCAL_LAKE)
    storage = StorageAccount(ACCOUNT, container, blob_endpoint(home), account_key_file(home))
    return Environment(
        name=name,
        platform="local",
        kafka_bootstrap=bootstrap(home),
        kafka_settings=_kafka(file)[1],
        lake=storage.uri(container, folder),
        storage=storage,
        platform_table=file.table("spark"),
        replica=replica_of(file, home, is_local=True),
    )


def _azure(name: str, file: Table, home: Home) -> Environment:
    platform = file.text("platform", "a platform")
    file.refuse_unknown(("platform", "lake", "kafka", "replica", platform))
    lake, (kafka, settings) = file.table("lake"), _kafka(file)
    lake.refuse_unknown(_AZURE_LAKE)
    account = lake.text("account", "the storage account's name, the deployment's output storageAccount")
    storage = StorageAccount(
        account_name=account,
        container=lake.text("container", "the lake's container"),
        blob_endpoint=lake.optional_text("blob_endpoint") or f"https://{account}.blob.core.windows.net",
        key_connection=lake.optional_text("key_connection"),
    )
    return Environment(
        name=name,
        platform=platform,
        kafka_bootstrap=kafka.text("bootstrap", "the brokers, host:port[,host:port]"),
        kafka_settings=settings,
        lake=storage.uri(storage.container, lake.text("path", "the lake's folder in its container")),
        storage=storage,
        kafka_connection=kafka.optional_text("connection"),
        platform_table=_jobs_table(file.table(platform), is_batch=name.endswith(_BATCH)),
        batch_table=file.table(platform).table("batch"),
        replica=replica_of(file, home, is_local=False),
    )


def _jobs_table(table: Table, *, is_batch: bool) -> Table:
    """Batch runs go to the cluster that is made for them, whose files lie in a container of its own."""
    own = {"batch"} if table.name == "hdinsight" else set()  # on Databricks each job has a cluster of its own
    values = {name: value for name, value in table.values.items() if name not in own}
    if is_batch:
        batch = table.table("batch")
        cluster = batch.text("cluster", "the name of the cluster for batch runs, the deployment's output batchCluster")
        values |= {"cluster": cluster, "container": batch.optional_text("container") or "batch"}
    return Table(table.path, table.name, values)


def _kafka(file: Table) -> tuple[Table, dict[str, str]]:
    """The table, and the client settings in it."""
    table = file.table("kafka")
    own: Mapping[str, Any] = {key: value for key, value in table.values.items() if key not in _AZURE_KAFKA}
    settings = Table(table.path, table.name, own).texts()
    check_kafka_options(table, settings)
    return table, settings

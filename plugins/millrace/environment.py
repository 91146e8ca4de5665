"""Environments: where Kafka and the lake are, and how to get in. One small file each in `infra/environments/`."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.azurite import ACCOUNT, account_key_file, blob_endpoint
from millrace.stack.jars import jar_files
from millrace.stack.kafka import bootstrap

if TYPE_CHECKING:
    from azure.storage.blob import BlobServiceClient

__all__ = ["Environment", "StorageAccount", "load_environment"]

_FOLDER = PROJECT_ROOT / "infra" / "environments"
_PLATFORMS = ("local",)


@dataclass(frozen=True)
class StorageAccount:
    """An Azure Storage account, the container of the lake in it, and the file (0600) that holds its key."""

    account_name: str
    container: str
    blob_endpoint: str
    account_key_file: Path

    @property
    def dfs_host(self) -> str:
        """The host by which Hadoop's ABFS names the account."""
        return f"{self.account_name}.dfs.core.windows.net"


@dataclass(frozen=True)
class Environment:
    """One place where Millrace runs.

    `lake` is the URI below which all tables lie; `kafka_options` are client settings under librdkafka's names.
    """

    name: str
    platform: str
    kafka_bootstrap: str
    kafka_options: Mapping[str, str]
    lake: str
    storage: StorageAccount

    def account_key(self) -> str:
        """The storage account's key; raises MillraceError where its file is missing."""
        path = self.storage.account_key_file
        if not path.exists():
            raise MillraceError(f"environment {self.name!r}: the account key {path} is missing; run `millrace up`")
        return path.read_text(encoding="utf-8").strip()

    def blob_service(self) -> BlobServiceClient:
        """A client of the account's blobs."""
        from azure.storage.blob import BlobServiceClient  # here: Airflow parses DAGs without it

        return BlobServiceClient(self.storage.blob_endpoint, credential=self.account_key())

    def delta_options(self) -> dict[str, str]:
        """delta-rs's `storage_options` for tables below `lake`."""
        return {
            "azure_storage_account_name": self.storage.account_name,
            "azure_storage_account_key": self.account_key(),
            "azure_endpoint": self.storage.blob_endpoint,
            "allow_http": str(self.storage.blob_endpoint.startswith("http://")).lower(),
        }

    def hadoop_options(self) -> dict[str, str]:
        """Hadoop's `fs.azure.*` settings, the key included: for a 0600 file, never for a command line.

        An emulator serves blobs only, over plain HTTP: https://hadoop.apache.org/docs/stable/hadoop-azure/abfs.html
        """
        key = {f"fs.azure.account.key.{self.storage.dfs_host}": self.account_key()}
        if not self.storage.blob_endpoint.startswith("http://"):
            return key
        authority = self.storage.blob_endpoint.removeprefix("http://").split("/")[0]
        return key | {
            "fs.azure.abfs.endpoint": authority,
            "fs.azure.always.use.https": "false",
            "fs.azure.account.hns.enabled": "false",
            "fs.azure.fns.account.service.type": "BLOB",
            "fs.azure.networking.library": "JDK_HTTP_URL_CONNECTION",
            "fs.azure.ssl.channel.mode": "Default_JSE",
            # Its threads are no daemons: they would keep a finished driver alive.
            "fs.azure.metrics.collection.enabled": "false",
        }

    def spark_jars(self) -> list[Path]:
        """The jars that a local Spark driver needs beside pyspark's own; raises MillraceError before the download."""
        return jar_files("spark")


def load_environment(name: str | None = None, *, home: Home | None = None, folder: Path = _FOLDER) -> Environment:
    """The environment `name`, by default the one in MILLRACE_ENVIRONMENT, else "local".

    Raises MillraceError for an unknown name, an unsound file, and "local" before the stack's first start.
    """
    name = name or os.environ.get("MILLRACE_ENVIRONMENT") or "local"
    path = folder / f"{name}.toml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in folder.glob("*.toml")))
        raise MillraceError(f"environment {name!r}: {path} does not exist; the environments are: {known}")
    return _local(name, path, _parse(path), home or Home.current())


def _local(name: str, path: Path, settings: dict[str, Any], home: Home) -> Environment:
    platform = settings.get("platform")
    if platform not in _PLATFORMS:
        raise MillraceError(f"{path}: platform is {platform!r}; use one of: {', '.join(_PLATFORMS)}")
    container, folder = (_text(path, settings, "lake", field) for field in ("container", "path"))
    storage = StorageAccount(ACCOUNT, container, blob_endpoint(home), account_key_file(home))
    return Environment(
        name=name,
        platform=platform,
        kafka_bootstrap=bootstrap(home),
        kafka_options={key: str(value) for key, value in settings.get("kafka", {}).items()},
        lake=f"abfs://{container}@{storage.dfs_host}/{folder}",
        storage=storage,
    )


def _text(path: Path, settings: dict[str, Any], table: str, field: str) -> str:
    value = settings.get(table, {}).get(field)
    if not isinstance(value, str) or not value:
        raise MillraceError(f"{path}: {table}.{field} is {value!r}; give it a name")
    return value


def _parse(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise MillraceError(f"{path}: not valid TOML: {error}; correct the line") from error

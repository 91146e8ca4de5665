"""The storage account of a lake, and how to get in: a key, or an identity of Microsoft Entra."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.errors import MillraceError
from millrace.credentials import login_of, masked

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential
    from azure.storage.blob import BlobServiceClient

__all__ = ["StorageAccount"]

_SCOPE = "https://storage.azure.com/.default"


@dataclass(frozen=True)
class StorageAccount:
    """An Azure Storage account, and the container of the lake in it.

    Its key is in a file (0600), or the password of an Airflow connection; without either one gets in as oneself: a
    managed identity, a workload identity, a service principal or the Azure CLI's user, whichever
    `DefaultAzureCredential` finds (https://learn.microsoft.com/python/api/overview/azure/identity-readme).
    """

    account_name: str
    container: str
    blob_endpoint: str
    account_key_file: Path | None = None
    key_connection: str | None = None

    @property
    def dfs_host(self) -> str:
        """The host by which Hadoop's ABFS names the account."""
        return f"{self.account_name}.dfs.core.windows.net"

    @property
    def is_emulated(self) -> bool:
        """Whether it is an emulator, which serves blobs only, over plain HTTP."""
        return self.blob_endpoint.startswith("http://")

    @property
    def has_key(self) -> bool:
        """Whether one gets in by the account's key."""
        return self.account_key_file is not None or self.key_connection is not None

    def uri(self, container: str, path: str) -> str:
        """By which Hadoop and delta-rs find `path` in a container of this account."""
        scheme = "abfs" if self.is_emulated else "abfss"
        return f"{scheme}://{container}@{self.dfs_host}/{path.strip('/')}"

    def account_key(self) -> str:
        """The account's key; raises MillraceError where there is none."""
        if self.key_connection is not None:
            return login_of(self.key_connection).password
        if self.account_key_file is None:
            raise MillraceError(f"storage account {self.account_name!r}: it is used by identity; it has no key here")
        if not self.account_key_file.exists():
            raise MillraceError(f"the account key {self.account_key_file} is missing; run `millrace up`")
        return masked(self.account_key_file.read_text(encoding="utf-8").strip())

    def blob_service(self) -> BlobServiceClient:
        """A client of the account's blobs."""
        from azure.storage.blob import BlobServiceClient  # here: Airflow parses DAGs without it

        return BlobServiceClient(self.blob_endpoint, credential=self.account_key() if self.has_key else self._identity)

    def delta_options(self) -> dict[str, str]:
        """delta-rs's `storage_options`; by identity they hold a token, which is good for minutes."""
        if self.has_key:
            secret = {"azure_storage_account_key": self.account_key()}
        else:
            secret = {"azure_storage_token": self._identity.get_token(_SCOPE).token}
        return {
            "azure_storage_account_name": self.account_name,
            "azure_endpoint": self.blob_endpoint,
            "allow_http": str(self.is_emulated).lower(),
            **secret,
        }

    def hadoop_options(self) -> dict[str, str]:
        """Hadoop's `fs.azure.*` settings, the key included: for a 0600 file, never for a command line.

        None by identity, which a cluster has from its administrator:
        https://hadoop.apache.org/docs/stable/hadoop-azure/abfs.html
        """
        key = {f"fs.azure.account.key.{self.dfs_host}": self.account_key()} if self.has_key else {}
        if not self.is_emulated:
            return key
        return key | {
            "fs.azure.abfs.endpoint": self.blob_endpoint.removeprefix("http://").split("/")[0],
            "fs.azure.always.use.https": "false",
            "fs.azure.account.hns.enabled": "false",
            "fs.azure.fns.account.service.type": "BLOB",
            "fs.azure.networking.library": "JDK_HTTP_URL_CONNECTION",
            "fs.azure.ssl.channel.mode": "Default_JSE",
            # Its threads are no daemons: they would keep a finished driver alive.
            "fs.azure.metrics.collection.enabled": "false",
        }

    @cached_property
    def _identity(self) -> TokenCredential:
        from azure.identity import DefaultAzureCredential  # here: it takes a second to load

        return DefaultAzureCredential()

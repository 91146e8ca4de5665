"""What is kept about jobs on a cluster's own file system. Airflow reads and writes it, and so does the cluster.

`names/<name>.json` says which job of a name came last; `locks/<name>` is leased while one is submitted, or the cluster
for batch runs is made or deleted. `code/` and `jars/` hold what drivers run, under paths that name its content.
`jobs/<id>/` holds `job.json`, what was submitted; `batch.json`, Livy's number; `cancel.json`, that it is to end;
`ended.json`, how it ended; `driver.log`, the end of what the driver wrote, and `exit.json`, its exit code; and, while
it lives, `connection.json`, its secrets. `users/` names the runs that need a cluster which is made for batch runs.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from millrace.environment import Environment
from millrace.lake.store import LakeStore
from millrace.platforms.blob_lease import leased

if TYPE_CHECKING:
    from azure.storage.blob import BlobClient

__all__ = ["JobStore"]


class JobStore:
    """The folder `path` in a container of the environment's storage account."""

    def __init__(self, environment: Environment, container: str, path: str) -> None:
        storage = replace(environment.storage, container=container)
        self._own = replace(environment, storage=storage, lake=storage.uri(container, path))
        self._files = LakeStore(self._own)

    def uri(self, path: str) -> str:
        """By which the cluster finds the file."""
        return f"{self._own.lake}/{path}"

    def read(self, path: str) -> bytes | None:
        return self._files.read(path)

    def read_json(self, path: str) -> dict[str, Any]:
        """Empty where there is no such file."""
        return self._files.read_json(path) or {}

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        self._files.write_json(path, content)

    def delete(self, path: str) -> None:
        self._files.delete(path)

    def job_ids(self) -> list[str]:
        """Every job that is kept, oldest first."""
        return self._files.folders("jobs")

    def names(self, folder: str) -> list[str]:
        """The names of the JSON files in a folder, without their ending."""
        paths = (path.rpartition("/")[2] for path in self._files.list(folder))
        return sorted(name.removesuffix(".json") for name in paths if name.endswith(".json"))

    def forget_job(self, job_id: str) -> None:
        for path in self._files.list(f"jobs/{job_id}"):
            self._files.delete(path)
        self._files.delete(f"jobs/{job_id}")  # where folders are blobs too: with a hierarchical namespace

    def keep(self, path: str, content: bytes) -> str:
        """Uploads what never changes under this path, where it is not there yet; its URI. A blob is there whole."""
        if not self._files.exists(path):
            self._files.write(path, content)
        return self.uri(path)

    def keep_file(self, path: str, file: Path) -> str:
        """As `keep`, and reads the file only where it is to be uploaded."""
        if not self._files.exists(path):
            self._files.write(path, file.read_bytes())
        return self.uri(path)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        """Who acts under a name does so alone, over all machines. Raises AzureError, which passes: see `leased`."""
        with leased(self._blob(f"locks/{name}")):
            yield

    def _blob(self, path: str) -> BlobClient:
        service, root = self._own.blob_service(), self._own.lake.split("/", 3)[3]
        return service.get_blob_client(self._own.storage.container, f"{root}/{path}")

"""Small files on the lake, by their path below its root (see `jobs.lake.Lake`)."""

from __future__ import annotations

import json
from contextlib import suppress
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from millrace.environment import Environment

if TYPE_CHECKING:
    from azure.storage.blob import ContainerClient

__all__ = ["LakeStore"]


class LakeStore:
    """Reads and writes small files of one environment's lake. Azure's errors pass through, not-found apart."""

    def __init__(self, environment: Environment) -> None:
        self._environment = environment
        self._root = urlparse(environment.lake).path.strip("/")

    def read(self, path: str, size: int | None = None) -> bytes | None:
        """The file's bytes, or its first `size` ones; None when there is no such file."""
        offset = None if size is None else 0
        try:
            return self._container.download_blob(self._name(path), offset=offset, length=size).readall()
        except ResourceNotFoundError:
            return None

    def write(self, path: str, content: bytes) -> None:
        """Writes the file, in place of an older one."""
        self._container.upload_blob(self._name(path), content, overwrite=True)

    def read_json(self, path: str) -> dict[str, Any] | None:
        content = self.read(path)
        return None if not content else dict(json.loads(content))

    def append(self, path: str, content: bytes) -> None:
        """Adds up to 4 MiB to the end of a file that nothing else writes, whole, whoever adds at the same time.

        It is an append blob, made where there is none: a file of Hadoop's, a block blob, cannot be added to.
        """
        blob = self._container.get_blob_client(self._name(path))
        with suppress(ResourceExistsError):
            blob.create_append_blob(match_condition=MatchConditions.IfMissing)
        blob.append_block(content)

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        self.write(path, json.dumps(content).encode())

    def read_lines(self, path: str, tail: int | None = None) -> list[str]:
        """The file's lines, or its last `tail` ones; none when there is no such file."""
        lines = (self.read(path) or b"").decode().splitlines()
        return lines if tail is None else lines[-tail:]

    def delete(self, path: str) -> None:
        """Deletes the file; nothing happens when there is none."""
        with suppress(ResourceNotFoundError):
            self._container.delete_blob(self._name(path))

    def exists(self, path: str) -> bool:
        return bool(self._container.get_blob_client(self._name(path)).exists())

    def folders(self, prefix: str) -> list[str]:
        """Names of the folders in a folder, sorted; their files are not listed."""
        start = self._name(prefix).rstrip("/") + "/"
        found = (str(item.name) for item in self._container.walk_blobs(name_starts_with=start, delimiter="/"))
        return sorted(name[len(start) :].rstrip("/") for name in found if name.endswith("/"))

    def list(self, prefix: str) -> list[str]:
        """Paths of the files below a folder, sorted."""
        start = len(self._root) + 1
        found = self._container.list_blob_names(name_starts_with=self._name(prefix).rstrip("/") + "/")
        return sorted(name[start:] for name in found)

    @cached_property
    def _container(self) -> ContainerClient:
        return self._environment.blob_service().get_container_client(self._environment.storage.container)

    def _name(self, path: str) -> str:
        return f"{self._root}/{path}"

"""Blobs in a local folder, as far as the lake's store asks for them: what stands beside delta-rs's tables there."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from azure.core import MatchConditions
from azure.core.exceptions import ResourceExistsError, ResourceNotFoundError

from millrace.storage_account import StorageAccount

__all__ = ["FolderAccount"]


@dataclass(frozen=True)
class FolderAccount(StorageAccount):
    """An account whose blobs are files; their names are paths below the file system's root."""

    def blob_service(self) -> Any:
        return self

    def get_container_client(self, container: str) -> _Container:
        return _Container()


class _Container:
    def download_blob(self, name: str, offset: int | None = None, length: int | None = None) -> _Blob:
        return _Blob(_file(name), length)

    def upload_blob(self, name: str, content: bytes, overwrite: bool) -> None:
        _file(name).parent.mkdir(parents=True, exist_ok=True)
        _file(name).write_bytes(content)

    def delete_blob(self, name: str) -> None:
        _Blob(_file(name)).readall()
        _file(name).unlink()

    def get_blob_client(self, name: str) -> _Blob:
        return _Blob(_file(name))

    def list_blob_names(self, name_starts_with: str) -> Iterator[str]:
        return (str(path).lstrip("/") for path in _file(name_starts_with).rglob("*") if path.is_file())


@dataclass(frozen=True)
class _Blob:
    file: Path
    length: int | None = None

    def readall(self) -> bytes:
        if not self.file.is_file():
            raise ResourceNotFoundError(str(self.file))
        return self.file.read_bytes()[: self.length]

    def create_append_blob(self, match_condition: MatchConditions) -> None:
        assert match_condition == MatchConditions.IfMissing
        if self.file.is_file():
            raise ResourceExistsError(str(self.file))
        self.file.parent.mkdir(parents=True, exist_ok=True)
        self.file.touch()

    def append_block(self, content: bytes) -> None:
        with self.file.open("ab") as file:
            file.write(content)


def _file(name: str) -> Path:
    return Path("/") / name

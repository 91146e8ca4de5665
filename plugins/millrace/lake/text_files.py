"""The lake's small files as text, for what reads checkpoints and journals on either side."""

from __future__ import annotations

from millrace.lake.store import LakeStore

__all__ = ["TextFiles"]


class TextFiles:
    """`jobs.small_files.SmallFiles` over azure-storage-blob, by paths below the lake's root."""

    def __init__(self, store: LakeStore) -> None:
        self._store = store

    def read(self, uri: str) -> str | None:
        content = self._store.read(uri)
        return None if content is None else content.decode()

    def read_head(self, uri: str, size: int) -> str:
        return (self._store.read(uri, size) or b"").decode(errors="replace")

    def names(self, uri: str) -> list[str]:
        return [path.rpartition("/")[2] for path in self._store.list(uri)]

"""Progress journals from Airflow's side."""

from __future__ import annotations

from collections.abc import Mapping

from jobs.journal import Journal, JournalFiles, Reads
from jobs.lake import Lake, speed_query
from jobs.pipeline import Pipeline
from millrace.lake.store import LakeStore

__all__ = ["speed_reads"]


def speed_reads(
    store: LakeStore, pipeline: Pipeline, version: str, offsets: Mapping[int, tuple[int, int]]
) -> Reads | None:
    """What the speed layer's version read of these offsets (first, last) of each partition; None: it never ran."""
    query = speed_query(pipeline.name)
    metadata = store.read_json(f"{Lake('').checkpoint(query, version)}/metadata")
    if metadata is None:
        return None
    files = _InStore(store, Lake("").progress_folder(query))
    return Journal(files, metadata["id"], pipeline.topic.name).reads(offsets)


class _InStore(JournalFiles):
    def __init__(self, store: LakeStore, folder: str) -> None:
        self._store = store
        self._folder = folder

    def names(self) -> list[str]:
        return [path.rpartition("/")[2] for path in self._store.list(self._folder)]

    def text(self, name: str) -> str:
        return (self._store.read(f"{self._folder}/{name}") or b"").decode()

    def head(self, name: str, size: int) -> str:
        return (self._store.read(f"{self._folder}/{name}", size) or b"").decode(errors="replace")

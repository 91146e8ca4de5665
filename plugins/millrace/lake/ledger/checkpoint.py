"""What the archive's checkpoint tells: where the archive began in Kafka, and up to where a micro-batch went."""

from __future__ import annotations

import json

from jobs.lake import RAW_VERSION, Lake, archive_query
from millrace.lake.store import LakeStore

__all__ = ["first_offsets", "planned_offsets", "query_id"]


def query_id(store: LakeStore, topic: str) -> str | None:
    """Under which the archive query numbers its commits; None before its first start."""
    metadata = store.read_json(f"{_folder(topic)}/metadata")
    return None if metadata is None else str(metadata["id"])


def first_offsets(store: LakeStore, topic: str) -> dict[int, int] | None:
    """Per partition, the first offset that Kafka held when the archive began; None when the checkpoint has no note.

    Spark reads a partition that was added later from 0.
    """
    content = store.read(f"{_folder(topic)}/sources/0/0")
    return None if content is None else _offsets(content, topic)


def planned_offsets(store: LakeStore, topic: str, batch: int) -> dict[int, int] | None:
    """Per partition, the offset below which the micro-batch read everything; None when Spark has tidied it away."""
    content = store.read(f"{_folder(topic)}/offsets/{batch}")
    return None if content is None else _offsets(content, topic)


def _offsets(content: bytes, topic: str) -> dict[int, int]:
    """The file's last line; Spark writes a version and other lines before it."""
    found = json.loads(content.splitlines()[-1])
    return {int(partition): int(offset) for partition, offset in found[topic].items()}


def _folder(topic: str) -> str:
    return Lake("").checkpoint(archive_query(topic), RAW_VERSION)

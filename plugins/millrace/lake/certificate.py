"""The certificate of a run: what the archive was proven to hold when the run read it."""

from __future__ import annotations

import json
import time
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.errors import MillraceError
from jobs.lake import RAW_VERSION, Lake, archive_query
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.offsets import end_offsets
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table

__all__ = ["Certificate", "NotArchivedError", "certify"]

_POLL = timedelta(seconds=1)


class NotArchivedError(MillraceError):
    """The archive has not reached what Kafka held when the run began."""


@dataclass(frozen=True)
class Certificate:
    """`coverage`: per partition the offset below which everything is archived in `raw_version` of the raw archive.

    It follows from the archive's own commits: the table's newest micro-batch, and the offsets that the checkpoint
    planned for it. `kafka_end` is what Kafka held when the run began; nowhere is it above the coverage.
    """

    topic: str
    raw_version: int
    coverage: dict[int, int]
    kafka_end: dict[int, int]
    archive_query_id: str
    archive_batch: int
    certified_at: str

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold: offsets by the partition's number as text."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Certificate:
        offsets = {name: {int(p): o for p, o in content[name].items()} for name in ("coverage", "kafka_end")}
        return cls(**{**content, **offsets})


def certify(environment: Environment, topic: Topic, wait: timedelta = timedelta(minutes=5)) -> Certificate:
    """Waits until the archive holds everything that Kafka holds now, and says which version of it does.

    Raises NotArchivedError when it does not within `wait`.
    """
    kafka_end = end_offsets(environment, topic.name)
    deadline = time.monotonic() + wait.total_seconds()
    while True:
        certificate = _coverage(environment, topic, kafka_end)
        behind = _behind(kafka_end, certificate)
        if certificate is not None and not behind:
            return certificate
        if time.monotonic() >= deadline:
            raise NotArchivedError(
                f"topic {topic.name!r}: the archive is behind Kafka after {wait}: partition, archived to, needed:"
                f" {behind}; start the DAG {archive_query(topic.name)!r} (or see its log), then clear this task"
            )
        time.sleep(_POLL.total_seconds())


def _behind(kafka_end: dict[int, int], certificate: Certificate | None) -> list[tuple[int, int, int]]:
    covered = certificate.coverage if certificate else {}
    return [(p, covered.get(p, 0), end) for p, end in sorted(kafka_end.items()) if covered.get(p, 0) < end]


def _coverage(environment: Environment, topic: Topic, kafka_end: dict[int, int]) -> Certificate | None:
    """What the newest version of the raw archive covers; None before the archive's first start."""
    checkpoint = Lake("").checkpoint(archive_query(topic.name), RAW_VERSION)
    store = LakeStore(environment)
    metadata = store.read_json(f"{checkpoint}/metadata")
    table = open_table(environment, Lake(environment.lake).raw(topic.name))
    if metadata is None or table is None:
        return None
    # Delta's sink stores the number of its last micro-batch under the query's id, in the commit of its rows.
    batch = table.transaction_version(metadata["id"])
    return Certificate(
        topic=topic.name,
        raw_version=table.version(),
        coverage={} if batch is None else _planned_offsets(store, checkpoint, batch, topic),
        kafka_end=kafka_end,
        archive_query_id=metadata["id"],
        archive_batch=-1 if batch is None else batch,
        certified_at=datetime.now(UTC).isoformat(),
    )


def _planned_offsets(store: LakeStore, checkpoint: str, batch: int, topic: Topic) -> dict[int, int]:
    """The end offsets of a micro-batch, from Spark's offset log: a version line, a metadata line, a line per source."""
    lines = store.read_lines(f"{checkpoint}/offsets/{batch}")
    if len(lines) != 3:
        raise MillraceError(
            f"{checkpoint}/offsets/{batch} has {len(lines)} lines where Spark writes 3; the checkpoint was changed by"
            " something else: restore it before the next reprocess"
        )
    return {int(partition): offset for partition, offset in json.loads(lines[2])[topic.name].items()}

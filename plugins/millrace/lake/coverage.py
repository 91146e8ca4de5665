"""What a raw archive covers, from its own commits: see docs/decisions/0002."""

from __future__ import annotations

import json
from dataclasses import dataclass

from jobs.errors import MillraceError
from jobs.lake import RAW_VERSION, Lake, archive_query
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table

__all__ = ["Coverage", "read_coverage"]


@dataclass(frozen=True)
class Coverage:
    """`offsets`: per partition, the offset below which everything is archived in `raw_version` of the raw archive.

    `batch` is the table's newest micro-batch of the query `query_id`; -1, with no offsets, before the first.
    """

    raw_version: int
    offsets: dict[int, int]
    query_id: str
    batch: int


def read_coverage(environment: Environment, topic: Topic) -> Coverage | None:
    """Of the newest version; None before the archive's first start. Raises MillraceError for a damaged checkpoint."""
    checkpoint = Lake("").checkpoint(archive_query(topic.name), RAW_VERSION)
    store = LakeStore(environment)
    metadata = store.read_json(f"{checkpoint}/metadata")
    table = open_table(environment, Lake(environment.lake).raw(topic.name))
    if metadata is None or table is None:
        return None
    # Delta's sink stores the number of its last micro-batch under the query's id, in the commit of its rows.
    batch = table.transaction_version(metadata["id"])
    if batch is None:
        return Coverage(table.version(), {}, metadata["id"], -1)
    return Coverage(table.version(), _planned_offsets(store, checkpoint, batch, topic), metadata["id"], batch)


def _planned_offsets(store: LakeStore, checkpoint: str, batch: int, topic: Topic) -> dict[int, int]:
    """The end offsets of a micro-batch, from Spark's offset log: a version line, a metadata line, a line per source."""
    lines = store.read_lines(f"{checkpoint}/offsets/{batch}")
    if len(lines) != 3:
        raise MillraceError(
            f"{checkpoint}/offsets/{batch} has {len(lines)} lines where Spark writes 3; the checkpoint was changed by"
            " something else: restore it before the next reprocess"
        )
    return {int(partition): offset for partition, offset in json.loads(lines[2])[topic.name].items()}

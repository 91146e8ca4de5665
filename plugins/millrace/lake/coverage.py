"""What a raw archive covers, from its own commits: see docs/decisions/0002."""

from __future__ import annotations

from dataclasses import dataclass

from jobs.checkpoint import Checkpoint, of_topic
from jobs.errors import MillraceError
from jobs.lake import RAW_VERSION, Lake, archive_query
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table
from millrace.lake.text_files import TextFiles

__all__ = ["Coverage", "archive_checkpoint", "read_coverage"]


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
    checkpoint = archive_checkpoint(environment, topic.name)
    query_id = checkpoint.query_id()
    table = open_table(environment, Lake(environment.lake).raw(topic.name))
    if query_id is None or table is None:
        return None
    # Delta's sink stores the number of its last micro-batch under the query's id, in the commit of its rows.
    batch = table.transaction_version(query_id)
    if batch is None:
        return Coverage(table.version(), {}, query_id, -1)
    planned = checkpoint.planned(batch)
    if planned is None:
        raise MillraceError(
            f"topic {topic.name!r}: the archive's checkpoint has no offsets of micro-batch {batch}, which the raw"
            " archive holds; the checkpoint was changed by something else: restore it before the next reprocess"
        )
    return Coverage(table.version(), of_topic(planned.end_offsets, topic.name), query_id, batch)


def archive_checkpoint(environment: Environment, topic: str) -> Checkpoint:
    """The checkpoint of the topic's archive query."""
    return Checkpoint(TextFiles(LakeStore(environment)), Lake("").checkpoint(archive_query(topic), RAW_VERSION))

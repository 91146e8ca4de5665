"""What the raw archive holds: read once as a whole, from then on only what its new commits changed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.errors import MillraceError
from jobs.lake import Lake, archive_query
from millrace.environment import Environment
from millrace.lake.ledger.commits import Commit, commit_digest, commits_after
from millrace.lake.ledger.counting import COLUMNS, Counted, same_rows
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable
    from pyarrow import fs

__all__ = ["RawState", "check_archive", "read_archive", "read_new"]


@dataclass(frozen=True)
class RawState:
    """A version of the raw table: the digest of its commit, and the archive's last micro-batch in it."""

    version: int
    commit: str | None
    batch: int | None


def check_archive(environment: Environment, topic: str) -> DeltaTable:
    """The raw table. Raises MillraceError where there is none yet."""
    table = open_table(environment, Lake(environment.lake).raw(topic))
    if table is None:
        raise MillraceError(
            f"topic {topic!r} has no raw archive in {environment.lake}, so there is nothing to account for; start"
            f" `millrace archive {topic}` (or the DAG {archive_query(topic)!r})"
        )
    return table


def read_archive(environment: Environment, topic: str, query_id: str | None) -> tuple[RawState, Counted]:
    """Counts the whole archive: its columns partition and offset. Raises MillraceError where there is none yet."""
    from deltalake import QueryBuilder

    table = check_archive(environment, topic)
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    counted = Counted()
    counted.add(_tables(QueryBuilder().register("raw", table).execute(f"SELECT {columns} FROM raw")))
    batch = table.transaction_version(query_id) if query_id else None
    commit = commit_digest(LakeStore(environment), topic, table.version())
    return RawState(table.version(), commit, batch), counted


def read_new(
    environment: Environment, topic: str, query_id: str | None, known: RawState, counted: Counted
) -> RawState | None:
    """Adds to `counted` what was archived after `known`, opening the files of new commits only.

    None when that cannot be told from them, and the archive must be counted as a whole: commits were cleaned out of
    the log, the table is another one, files were vacuumed away, or a commit took rows out of the archive. `counted`
    is of no use then.
    """
    store = LakeStore(environment)
    if known.commit not in (None, commit_digest(store, topic, known.version)):
        return None
    commits = commits_after(store, topic, known.version)
    if commits is None:
        return None
    files = _file_system(environment, topic)
    for commit in commits:
        if not _count(commit, files, counted):
            return None
        batch = commit.transactions.get(query_id or "", known.batch)
        known = RawState(commit.version, commit.digest, batch)
    return known


def _count(commit: Commit, files: fs.FileSystem, counted: Counted) -> bool:
    """False when the commit's files do not tell what it changed."""
    try:
        if not commit.removed:
            counted.add(_read(files, commit.added))
            return commit.is_plain
        # `redecode` writes files anew with the same records: those were counted when they came.
        return commit.is_plain and same_rows(_read(files, commit.added), _read(files, commit.removed))
    except FileNotFoundError:
        return False


def _read(files: fs.FileSystem, paths: Iterable[str]) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for path in paths:
        with files.open_input_file(path) as opened:
            yield pq.ParquetFile(opened).read(columns=COLUMNS)


def _file_system(environment: Environment, topic: str) -> fs.FileSystem:
    from deltalake.fs import DeltaStorageHandler
    from pyarrow import fs

    return fs.PyFileSystem(DeltaStorageHandler(Lake(environment.lake).raw(topic), environment.delta_options()))


def _tables(batches: object) -> Iterator[pa.Table]:
    import pyarrow as pa

    for batch in pa.RecordBatchReader.from_stream(batches):
        yield pa.Table.from_batches([batch])

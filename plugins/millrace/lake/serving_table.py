"""The table `serving`: a row per switch of a pipeline's served version."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from contextlib import suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.tables import open_table

if TYPE_CHECKING:
    import pyarrow as pa
    from deltalake import DeltaTable

__all__ = ["Serving", "commit_serving", "serving_history"]

_ATTEMPTS = 20


@dataclass(frozen=True)
class Serving:
    """A row of `serving`; that of the greatest `number` (1, 2, … per pipeline) is in force.

    An interval is served by the first of `versions` that has published it; where none has, by the speed rows of the
    first of all, *the served version*. `since`, `by` and `reason` are for people. `previous` is the number of the row
    that a rollback goes back to; None where nothing was served before.
    """

    pipeline: str
    versions: tuple[str, ...]
    since: datetime
    by: str
    reason: str
    number: int = 1
    previous: int | None = None

    @property
    def version(self) -> str:
        """The served version."""
        return self.versions[0]


def serving_history(environment: Environment, pipeline: Pipeline) -> list[Serving]:
    """Every switch, oldest first; the last is in force."""
    table = open_table(environment, Lake(environment.lake).serving)
    return [] if table is None else _read(table, pipeline)


def commit_serving(
    environment: Environment, pipeline: Pipeline, change: Callable[[list[Serving]], Serving | None]
) -> Serving:
    """Appends what `change` makes of the history; nothing where that is None. Returns what is in force then.

    The commit must be the one after the version that was read: who comes second reads again.
    """
    from deltalake import CommitProperties, write_deltalake
    from deltalake.exceptions import CommitFailedError

    for attempt in range(_ATTEMPTS):
        table = _open_or_create(environment)
        history = _read(table, pipeline)
        new = change(history)
        if new is None:
            return history[-1]
        only_the_next_version = CommitProperties(max_commit_retries=0)
        try:
            write_deltalake(table, _rows([new]), mode="append", commit_properties=only_the_next_version)
            return new
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.1 * (attempt + 1)))
    raise MillraceError(
        f"pipeline {pipeline.name!r}: what is served could not be changed in {_ATTEMPTS} attempts, others kept"
        " committing; try again"
    )


def _open_or_create(environment: Environment) -> DeltaTable:
    from deltalake import CommitProperties, DeltaTable
    from deltalake.exceptions import CommitFailedError

    uri, options = Lake(environment.lake).serving, environment.delta_options()
    if (table := open_table(environment, uri)) is not None:
        return table
    # Without retries: two that create it at once would both commit, the later one over what the first has written.
    first = CommitProperties(max_commit_retries=0)
    with suppress(CommitFailedError):
        DeltaTable.create(
            uri,
            schema=_rows([]).schema,
            mode="ignore",
            partition_by=["pipeline"],
            storage_options=options,
            commit_properties=first,
        )
    return DeltaTable(uri, storage_options=options)


def _read(table: DeltaTable, pipeline: Pipeline) -> list[Serving]:
    rows: list[dict[str, Any]] = table.to_pyarrow_table(filters=[("pipeline", "=", pipeline.name)]).to_pylist()
    found = [Serving(**{**row, "versions": tuple(row["versions"])}) for row in rows]
    return sorted(found, key=lambda row: row.number)


def _rows(found: list[Serving]) -> pa.Table:
    import pyarrow as pa

    schema = pa.schema(
        [
            ("pipeline", pa.string()),
            ("number", pa.int64()),
            ("versions", pa.list_(pa.string())),
            ("since", pa.timestamp("us", tz="UTC")),
            ("by", pa.string()),
            ("reason", pa.string()),
            ("previous", pa.int64()),
        ]
    )
    return pa.Table.from_pylist([{**asdict(row), "versions": list(row.versions)} for row in found], schema=schema)

"""Removing the speed layer's rows of intervals that batch has answered for long: see docs/decisions/0038."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.published import all_publications
from millrace.lake.speed_log import SpeedLog
from millrace.lake.store import LakeStore
from millrace.lake.tables import delete_old_files, no_log_upkeep, open_table

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["as_compared", "clean_up", "removable", "remove_speed_rows", "removed_at"]

_ATTEMPTS = 5
_SEEN = ("equal", "different", "only_speed")


def clean_up(
    environment: Environment, pipeline: Pipeline, before: datetime, *, dry_run: bool
) -> tuple[list[Interval], list[str], int]:
    """What maintenance does: `remove_speed_rows`, and deleting the files that left the table before. The intervals, a
    line about each, and how many files were deleted. With `dry_run` nothing is removed or deleted."""
    intervals = (removable if dry_run else remove_speed_rows)(environment, pipeline, before)
    done = "would be removed" if dry_run else "were removed"
    lines = [f"interval {each.id}: its speed rows {done}" for each in intervals]
    speed = Lake(environment.lake).speed(pipeline.name)
    return intervals, lines, 0 if dry_run else delete_old_files(environment, speed)


def removable(environment: Environment, pipeline: Pipeline, before: datetime) -> list[Interval]:
    """The intervals whose speed rows nothing needs any more, oldest first.

    They ended by `before`, and every version that has speed rows of them has published them, and not as partial: of
    what an archive lacks, the speed rows may be the only trace. No version's newest rows are among them, by which a
    lost checkpoint is told from a new version's.
    """
    log = SpeedLog(environment, pipeline).intervals()
    newest = {max(intervals) for intervals in log.values()}
    published = all_publications(environment, pipeline)
    whole = {(each.version, each.interval.id): each.interval for each in published if not each.partial}
    found = []
    for interval in sorted({each for intervals in log.values() for each in intervals} - newest):
        answered = [whole.get((version, interval)) for version, intervals in log.items() if interval in intervals]
        ended = [each for each in answered if each and each.end <= before]
        if len(ended) == len(answered):
            found.append(ended[0])
    return found


def remove_speed_rows(environment: Environment, pipeline: Pipeline, before: datetime) -> list[Interval]:
    """Removes the speed rows of the intervals that are `removable`, in one commit, and returns these intervals.

    That is noted before, an interval at a time: whoever is killed in between leaves notes of rows that are there, which
    changes no answer, and the next call removes them. Safe while streams and batch runs write, and to call at once: one
    call removes an interval. Raises MillraceError where others keep committing.
    """
    from deltalake.exceptions import CommitFailedError

    for _ in range(_ATTEMPTS):
        table = open_table(environment, Lake(environment.lake).speed(pipeline.name))
        intervals = removable(environment, pipeline, before)
        if table is None or not intervals:
            return []
        with suppress(CommitFailedError):
            _remove(environment, pipeline, table, intervals)
            return intervals
    raise MillraceError(
        f"pipeline {pipeline.name!r}: its old speed rows could not be removed in {_ATTEMPTS} attempts, others kept"
        " committing; nothing is lost: run it again"
    )


def _remove(environment: Environment, pipeline: Pipeline, table: DeltaTable, intervals: list[Interval]) -> None:
    store, now = LakeStore(environment), datetime.now(UTC).isoformat()
    for each in intervals:
        store.write_json(Lake("").speed_removed(pipeline.name, each.id), {"at": now})
    listed = ", ".join(f"'{each.id}'" for each in intervals)
    # Whole partitions: files leave the table, none is read or written.
    table.delete(f"_interval IN ({listed})", post_commithook_properties=no_log_upkeep())


def removed_at(environment: Environment, pipeline: str, interval: str) -> datetime | None:
    """When the speed rows of an interval (its id) were removed, or were about to be; None where they never were."""
    note = LakeStore(environment).read_json(Lake("").speed_removed(pipeline, interval))
    return datetime.fromisoformat(note["at"]) if note else None


def as_compared(environment: Environment, pipeline: str, interval: str, result: Mapping[str, Any]) -> dict[str, Any]:
    """What a run wrote (see `jobs.reprocess.reprocess`), as the gate and people are to take it.

    Where it found no speed row of the interval because they had been removed, nothing was compared: `parity` is None,
    and `speed_removed` tells when that was. It is judged here, not by the run: a version's code may be older than this.
    """
    parity = result.get("parity")
    if not parity or any(parity.get(name) for name in _SEEN):
        return dict(result)
    moment = removed_at(environment, pipeline, interval)
    return {**result, "parity": None, "speed_removed": moment.isoformat()} if moment else dict(result)

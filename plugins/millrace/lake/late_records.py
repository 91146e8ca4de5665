"""The batch layer's progress records: what was late for an interval, and what was pending, each time it was counted."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.interval import Interval
from jobs.lake import Lake, batch_query
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.certificate import Certificate
from millrace.lake.late_windows import late_by_window
from millrace.lake.pending_late import LookBack, pending_late
from millrace.lake.published import Publication, publication_of, publish
from millrace.lake.store import LakeStore

__all__ = ["late_records", "publish_and_record", "record_look_back", "record_publication"]

_AT_ONCE = 100
"""Lines: of the longest, 2 MB, where 4 may be added at once."""


def publish_and_record(
    environment: Environment,
    pipeline: Pipeline,
    interval: Interval,
    *,
    run: str,
    certificate: Certificate,
    result: dict[str, Any],
) -> bool:
    """`publish` under the version that the result names, and a record of it where that is published."""
    version = result["version"]
    published = publish(
        environment, pipeline, interval, run=run, version=version, certificate=certificate, result=result
    )
    if published:
        record_publication(environment, pipeline, interval, version)
    return published


def record_publication(environment: Environment, pipeline: Pipeline, interval: Interval, version: str) -> None:
    """Adds a record of what the version has published of the interval, and of what came since its run read."""
    found = publication_of(environment, pipeline, interval, version)
    if found is not None:
        _append(environment, pipeline, [_record(found, pending_late(environment, pipeline, [found]))])


def record_look_back(environment: Environment, look: LookBack, until: datetime, within: timedelta) -> None:
    """Adds a record of each interval that ended by `until` and no longer than `within` before it, and of each older one
    of which the archive does not hold what its run read."""
    of_interest = [
        each
        for each in look.published
        if each.interval.end <= until and (each.interval.end >= until - within or look.pending[each.interval.id])
    ]
    _append(environment, look.pipeline, [_record(each, look.pending) for each in of_interest])


def late_records(environment: Environment, pipeline: Pipeline) -> Iterator[dict[str, Any]]:
    """The records, oldest first.

    Each: `at` (when), `interval`, `version`, `run`; `late`: events that the speed layer had dropped, `late_windows`:
    from how many windows, and `late_by_window`: from each (see `millrace.lake.late_windows`; all are None where the run
    found no speed layer); `pending_late`: events that the archive held then and the run had not read; `partial`:
    whether its archive was not proven complete.
    """
    store = LakeStore(environment)
    for path in store.list(Lake("").progress_folder(batch_query(pipeline.name))):
        yield from map(json.loads, store.read_lines(path))


def _record(publication: Publication, pending: dict[str, int]) -> dict[str, Any]:
    late = publication.result.get("late")
    return {
        "interval": publication.interval.id,
        "version": publication.version,
        "run": publication.run,
        "late": (late or {}).get("events"),
        **late_by_window(late),
        "pending_late": pending[publication.interval.id],
        "partial": bool(publication.partial),
    }


def _append(environment: Environment, pipeline: Pipeline, records: list[dict[str, Any]]) -> None:
    now = datetime.now(UTC)
    lines = [f"{json.dumps({'at': now.isoformat(), **record})}\n".encode() for record in records]
    path = Lake("").progress(batch_query(pipeline.name), now.date().isoformat())
    for start in range(0, len(lines), _AT_ONCE):
        LakeStore(environment).append(path, b"".join(lines[start : start + _AT_ONCE]))

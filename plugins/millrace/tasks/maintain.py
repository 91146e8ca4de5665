"""What keeps the lake from growing without end."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from jobs.pipelines import find_pipeline
from millrace.supervision.connection import environment_for_task

__all__ = ["remove_old_speed_rows"]

_log = logging.getLogger(__name__)


def remove_old_speed_rows(
    pipeline_name: str, keep: timedelta, environment_name: str | None, *, dry_run: bool
) -> list[str]:
    """Ids of the intervals whose speed rows were removed, or would be; the log names each."""
    from millrace.lake.speed_removal import removable, remove_speed_rows, vacuum_speed

    environment, pipeline = environment_for_task(environment_name), find_pipeline(pipeline_name)
    before = datetime.now(UTC) - keep
    found = (removable if dry_run else remove_speed_rows)(environment, pipeline, before)
    for interval in found:
        _log.info("interval %s: its speed rows %s", interval.id, "would be removed" if dry_run else "were removed")
    if not found:
        _log.info("no interval that ended before %s has speed rows that nothing needs", before.isoformat())
    if not dry_run:
        _log.info("%d files that left the table before are deleted", vacuum_speed(environment, pipeline))
    return [interval.id for interval in found]

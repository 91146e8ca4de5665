"""What keeps the lake from growing without end."""

from __future__ import annotations

import logging
from datetime import UTC, datetime, timedelta

from jobs.lake import Lake
from jobs.pipelines import find_pipeline
from millrace.supervision.connection import environment_for_task

__all__ = ["delete_replaced_files", "remove_old_speed_rows"]

_log = logging.getLogger(__name__)


def remove_old_speed_rows(
    pipeline_name: str, keep: timedelta, environment_name: str | None, *, dry_run: bool
) -> list[str]:
    """Ids of the intervals whose speed rows were removed, or would be; the log names each."""
    from millrace.lake.speed_removal import clean_up

    environment, pipeline = environment_for_task(environment_name), find_pipeline(pipeline_name)
    before = datetime.now(UTC) - keep
    intervals, lines, deleted = clean_up(environment, pipeline, before, dry_run=dry_run)
    for line in lines or [f"no interval that ended before {before.isoformat()} has speed rows that nothing needs"]:
        _log.info("%s", line)
    if not dry_run:
        _log.info("%d files that left the table before are deleted", deleted)
    return [interval.id for interval in intervals]


def delete_replaced_files(topic: str, environment_name: str | None) -> int:
    """How many files of the topic's raw archive were deleted, which compaction or `redecode` replaced long ago."""
    from millrace.lake.tables import delete_old_files

    environment = environment_for_task(environment_name)
    deleted = delete_old_files(environment, Lake(environment.lake).raw(topic))
    _log.info("topic %s: %d files that were replaced long ago are deleted", topic, deleted)
    return deleted

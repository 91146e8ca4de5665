"""The intervals of a batch run: those of its data interval, and those that it repairs."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import timedelta

from jobs.interval import Interval
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.tasks.intervals import RunRequest, intervals_of_run

__all__ = ["choose_intervals"]

_log = logging.getLogger(__name__)
_MOST = 500
"""Repairs of one run: a run that maps over more tasks than Airflow's `max_map_length` (1,024) would do nothing."""


def choose_intervals(environment: Environment, pipeline: Pipeline, request: RunRequest, within: timedelta) -> list[str]:
    """Ids, oldest first, each once: what the run covers, and every interval that is to be repaired.

    Repaired are published intervals with pending late events, or partial ones that are complete by now, that ended no
    longer than `within` before the run's end; the log says why each interval is there, and names the older ones. A
    backfill repairs nothing, nor does a run by hand that is not told to.
    """
    covered = []
    if not request.repairs_only:
        covered = intervals_of_run(pipeline.interval, request.by_hand, request.data_interval, request.now)
    for interval in covered:
        _log.info("interval %s: covered by this run", interval.id)
    repaired = [each for each in _repairs(environment, pipeline, request, within) if each not in covered]
    return [interval.id for interval in sorted([*covered, *repaired])]


def _repairs(environment: Environment, pipeline: Pipeline, request: RunRequest, within: timedelta) -> list[Interval]:
    until = request.repairs_until
    if until is None or not within:
        return []
    from millrace.lake.late_records import record_look_back  # here: parsing a DAG loads no client of the lake
    from millrace.lake.pending_late import look_back, overdue, why_repaired

    look = look_back(environment, pipeline)
    record_look_back(environment, look, until, within)
    recent, older = overdue(environment, look, until, within)
    for interval, count in list(recent.items())[:_MOST]:
        _log.info("interval %s: %s, repaired", interval.id, why_repaired(count))
    if len(recent) > _MOST:
        _log.warning("%d more intervals are to be repaired; the next run does", len(recent) - _MOST)
    if older:
        _log.warning("%s", _out_of_reach(pipeline, older, within))
    return list(recent)[:_MOST]


def _out_of_reach(pipeline: Pipeline, older: Mapping[Interval, int], within: timedelta) -> str:
    from millrace.lake.pending_late import why_repaired

    named = ", ".join(f"{interval.id} ({why_repaired(count)})" for interval, count in list(older.items())[:10])
    return (
        f"{len(older)} intervals that are to be repaired ended more than {within} ago and are not repaired: {named}"
        f"{', …' if len(older) > 10 else ''}; repair them with `millrace repair {pipeline.name} --within DAYS`"
    )

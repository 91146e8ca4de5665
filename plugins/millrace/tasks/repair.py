"""The intervals of a batch run: those of its data interval, those that it repairs, and those that were missed."""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from datetime import timedelta

from jobs.interval import Interval
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.tasks.intervals import RunRequest, intervals_of_run
from millrace.tasks.missed import CoveredElsewhere, Night, named

__all__ = ["choose_intervals"]

_log = logging.getLogger(__name__)
_MOST = 500
"""Further intervals of one run: one that maps over more tasks than Airflow's `max_map_length` (1,024) does nothing."""


def choose_intervals(
    environment: Environment,
    pipeline: Pipeline,
    request: RunRequest,
    within: timedelta,
    covered_elsewhere: CoveredElsewhere = lambda intervals: (),
) -> list[str]:
    """Ids, oldest first, each once: what the run covers, what is to be repaired, and, in a scheduled run, what was
    missed; the log says why each interval is there.

    Repaired are published intervals with pending late events, or partial ones that are complete by now. Missed are
    those that no published run serves (see `millrace.lake.missed`), unless another run is about to. Of both, those that
    ended no longer than `within` before the run's end; the log names the older ones. A scheduled run leaves those that
    the gate would refuse again (see `millrace.lake.held_back`), and says so. A backfill runs none but its own, nor does
    a run by hand that is not told to.
    """
    covered = []
    if not request.repairs_only:
        covered = intervals_of_run(pipeline.interval, request.by_hand, request.data_interval, request.now)
    for interval in covered:
        _log.info("interval %s: covered by this run", interval.id)
    why = _further(environment, pipeline, request, within, covered, covered_elsewhere)
    for interval, text in list(why.items())[:_MOST]:
        _log.info("interval %s: %s", interval.id, text)
    if len(why) > _MOST:
        _log.warning("%d more intervals are to be repaired or were missed; the next run does", len(why) - _MOST)
    return [interval.id for interval in sorted([*covered, *list(why)[:_MOST]])]


def _further(
    environment: Environment,
    pipeline: Pipeline,
    request: RunRequest,
    within: timedelta,
    covered: Collection[Interval],
    covered_elsewhere: CoveredElsewhere,
) -> dict[Interval, str]:
    """Why each interval is run beside the covered ones: first what is repaired, then what was missed."""
    until = request.repairs_until
    if until is None or not within:
        return {}
    from millrace.lake.late_records import record_look_back  # here: parsing a DAG loads no client of the lake
    from millrace.lake.pending_late import look_back, overdue, why_repaired

    look = look_back(environment, pipeline)
    record_look_back(environment, look, until, within)
    recent, older = overdue(environment, look, until, within)
    if older:
        _log.warning("%s", _out_of_reach(pipeline, older, within))
    why = {each: f"{why_repaired(count)}, repaired" for each, count in recent.items() if each not in covered}
    if not request.is_scheduled:
        return why
    night = Night(environment, pipeline, look)
    missed = night.missed(until, within, covered, covered_elsewhere)
    held = night.held_back({each: look.archived(each) for each in why} | missed)
    why |= {
        each: f"missed: no run of it is published, and {count:,} events are archived" for each, count in missed.items()
    }
    return {each: text for each, text in why.items() if each not in held}


def _out_of_reach(pipeline: Pipeline, older: Mapping[Interval, int], within: timedelta) -> str:
    from millrace.lake.pending_late import why_repaired

    which = named([f"{interval.id} ({why_repaired(count)})" for interval, count in older.items()])
    return (
        f"{len(older)} intervals that are to be repaired ended more than {within} ago and are not repaired: {which};"
        f" repair them with `millrace repair {pipeline.name} --within DAYS`"
    )

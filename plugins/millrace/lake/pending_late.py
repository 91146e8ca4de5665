"""Pending late: events that reached an interval after the run that is served had read the archive."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime, timedelta

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.certificate import Claim
from millrace.lake.event_counts import count_events
from millrace.lake.published import Publication, publications
from millrace.lake.tables import open_table

__all__ = ["REPAIR_WITHIN", "overdue", "pending_late", "why_repaired"]

REPAIR_WITHIN = timedelta(days=7)
"""How far back intervals are repaired unless something else is asked for."""


def pending_late(environment: Environment, pipeline: Pipeline, published: Sequence[Publication]) -> dict[str, int]:
    """Per published interval (its id), its events in the raw archive now less those that its run read. Exact.

    Its events are those that its rows are made of (see `Pipeline.reads`), which may lie beyond it: one event may be
    pending for two intervals. Where a run says how many rows the archive had of each day it read, and there are no more
    now, none is.

    The archive is opened once, and after `published` was read: no count is of an older archive than its run's. A
    negative number says that the archive has lost events. One without `rows_read` has proven nothing: all are late.
    """
    found = {each.interval: pipeline.reads(each.interval) for each in published}
    if not found:
        return {}
    read = {found[each.interval]: int(each.result.get("rows_read") or 0) for each in published}
    days = {found[each.interval]: each.result.get("rows_by_day") or {} for each in published}
    table = open_table(environment, Lake(environment.lake).raw(pipeline.topic.name))
    counted = count_events(table, pipeline.topic.event_time, read, days) if table is not None else {}
    return {interval.id: counted.get(span, 0) - read[span] for interval, span in sorted(found.items())}


def overdue(
    environment: Environment, pipeline: Pipeline, until: datetime, within: timedelta
) -> tuple[dict[Interval, int], dict[Interval, int]]:
    """Published intervals that ended by `until` and whose run is no longer the best one, oldest first.

    These are those with pending late events, with their number, and those that are partial although their archive is
    proven complete by now, with 0 where no event is pending. Two dictionaries: those that ended no longer than `within`
    before `until`, which are to be repaired, and the older.
    """
    published = publications(environment, pipeline)
    pending = pending_late(environment, pipeline, published)
    found = [
        each.interval
        for each in published
        if each.interval.end <= until
        and (pending[each.interval.id] > 0 or _would_prove_more(environment, pipeline, each))
    ]
    counts = {interval: max(0, pending[interval.id]) for interval in found}
    recent = {interval: count for interval, count in counts.items() if interval.end >= until - within}
    return recent, {interval: count for interval, count in counts.items() if interval not in recent}


def why_repaired(pending: int) -> str:
    """In words, of a number that `overdue` gives."""
    return f"{pending:,} pending late events" if pending else "partial, and proven complete by now"


def _would_prove_more(environment: Environment, pipeline: Pipeline, publication: Publication) -> bool:
    """Whether a run now would not be as partial as this one is. What an accepted loss made partial stays so."""
    if not publication.partial:
        return False
    interval = publication.interval
    claim = Claim(environment, pipeline.topic, interval, pipeline.reads(interval))
    proof = claim.try_look().proof()
    return proof is not None and proof.partial != publication.partial

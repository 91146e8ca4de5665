"""Missed: past intervals that no run answers for, since their night did not come, or their run failed."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.certificate import Claim
from millrace.lake.event_counts import count_events
from millrace.lake.pending_late import LookBack
from millrace.lake.tables import open_table

__all__ = ["missed"]

_MICROSECOND = timedelta(microseconds=1)


def missed(
    environment: Environment, look: LookBack, speed: Mapping[str, int], until: datetime, within: timedelta
) -> tuple[dict[Interval, int], dict[Interval, int]]:
    """Intervals that no published run serves, of whichever version, oldest first, with the events that the archive has
    for each.

    First those that ended no longer than `within` before `until`, that were complete by `until` as far as the topic
    allows records to be late, and that have such events, rows of the speed layer, or a published interval before them:
    from the first on, an empty day is published as empty. Then the older ones: those that the speed layer serves, and
    those between two published ones, `within` of each other, that have events: they are in no answer. No others, for an
    archive may well begin years before anybody asks for its answers. `speed`: the intervals (their ids) that the served
    version has rows of.
    """
    pipeline, since = look.pipeline, until - within
    ended = [
        each
        for each in Interval.ended_within(since - _MICROSECOND, until, pipeline.interval)
        if each.id not in look.answered and _is_due(environment, pipeline, each, until)
    ]
    archived = _archived_events(environment, pipeline, ended)
    began = look.published[0].interval if look.published else None
    recent = {
        each: archived.get(each, 0)
        for each in ended
        if archived.get(each) or each.id in speed or (began is not None and began < each)
    }
    return recent, _older(environment, look, speed, since, within)


def _older(
    environment: Environment, look: LookBack, speed: Mapping[str, int], since: datetime, within: timedelta
) -> dict[Interval, int]:
    served = {Interval.parse(each, look.pipeline.interval) for each in speed}
    candidates = {*served, *_holes(look, within)}
    unanswered = sorted(each for each in candidates if each.id not in look.answered and each.end < since)
    archived = _archived_events(environment, look.pipeline, unanswered)
    return {each: archived.get(each, 0) for each in unanswered if each in served or archived.get(each)}


def _holes(look: LookBack, within: timedelta) -> Iterator[Interval]:
    for one, next_ in itertools.pairwise(each.interval for each in look.published):
        if one.end < next_.start <= one.end + within:
            yield from Interval.ended_within(one.end, next_.start, look.pipeline.interval)


def _is_due(environment: Environment, pipeline: Pipeline, interval: Interval, until: datetime) -> bool:
    return Claim(environment, pipeline.topic, interval, pipeline.reads(interval)).due <= until


def _archived_events(
    environment: Environment, pipeline: Pipeline, intervals: Sequence[Interval]
) -> dict[Interval, int]:
    """The events that a run of each would read, by the archive's statistics where these tell. Empty where there is no
    archive."""
    table = open_table(environment, Lake(environment.lake).raw(pipeline.topic.name)) if intervals else None
    if table is None:
        return {}
    reads = {each: pipeline.reads(each) for each in intervals}
    counted = count_events(table, pipeline.topic.event_time, dict.fromkeys(reads.values(), 0), {})
    return {each: counted[span] for each, span in reads.items()}

"""Which intervals need a repair that no nightly run makes, once a redecode has moved records into their days."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from datetime import UTC, date, datetime, time, timedelta

from jobs.interval import Interval
from jobs.pipeline import Pipeline
from jobs.pipelines import find_pipeline, pipeline_names
from millrace.environment import Environment
from millrace.lake.pending_late import look_back
from millrace.look_back import REPAIR_WITHIN

__all__ = ["beyond_look_back", "lines_beyond", "within_days"]

_DAY = timedelta(days=1)
_NAMED = 10


def beyond_look_back(
    environment: Environment, topic: str, days: Iterable[str], now: datetime
) -> dict[str, list[Interval]]:
    """Per pipeline that reads the topic, by its name: the published intervals with pending late events that read one
    of these days (ISO dates) and ended longer ago than the nightly look-back by default, oldest first. Those without
    any are left out."""
    spans = [_day(each) for each in days]
    found = {}
    for pipeline in map(find_pipeline, pipeline_names() if spans else ()):
        look = look_back(environment, pipeline)
        if look.pipeline.topic.name == topic:
            old = [each.interval for each in look.published if each.interval.end < now - REPAIR_WITHIN]
            hit = [each for each in old if look.pending[each.id] > 0 and _touches(look.pipeline, each, spans)]
            found[pipeline.name] = hit
    return {name: intervals for name, intervals in found.items() if intervals}


def lines_beyond(found: Mapping[str, list[Interval]], now: datetime) -> list[str]:
    """In words, with the remedy: a line per pipeline."""
    return [
        f"{name}: {len(intervals):,} published intervals that got events ended more than {REPAIR_WITHIN.days} days ago,"
        f" where the nightly run does not look by default: {_named(intervals)}; repair them with"
        f" `millrace repair {name} --within {within_days(intervals, now)}`"
        for name, intervals in found.items()
    ]


def within_days(intervals: list[Interval], now: datetime) -> int:
    """What `--within` reaches all of them, today and tomorrow."""
    return math.ceil((now - min(each.end for each in intervals)) / _DAY) + 1


def _touches(pipeline: Pipeline, interval: Interval, spans: Iterable[Interval]) -> bool:
    reads = pipeline.reads(interval)
    return any(reads.start < each.end and each.start < reads.end for each in spans)


def _day(text: str) -> Interval:
    start = datetime.combine(date.fromisoformat(text), time(), UTC)
    return Interval(start, start + _DAY)


def _named(intervals: list[Interval]) -> str:
    return ", ".join(each.id for each in intervals[:_NAMED]) + (", …" if len(intervals) > _NAMED else "")

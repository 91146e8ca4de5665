"""Pending late: events that reached an interval after the run that is served had read the archive."""

from __future__ import annotations

import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.run_reads import read_span, read_topic
from millrace.environment import Environment
from millrace.lake.declared import declared, declared_served
from millrace.lake.event_counts import count_events
from millrace.lake.interval_claim import interval_claim
from millrace.lake.offsets import KafkaEnd
from millrace.lake.published import Publication, publications
from millrace.lake.tables import open_table

__all__ = ["LookBack", "is_of_topic", "look_back", "overdue", "pending_late", "why_repaired"]

_POLL = timedelta(seconds=2)


@dataclass(frozen=True)
class LookBack:
    """`pipeline`: as its served version declares it. `published`: what is served of the topic that this reads, oldest
    interval first; the runs of another topic, which the pipeline once read, would not read their events again.
    `pending`: see `pending_late`. `answered`: the intervals (their ids) that a published run serves, of whatever topic.
    """

    pipeline: Pipeline
    published: list[Publication]
    pending: dict[str, int]
    answered: frozenset[str]

    def archived(self, interval: Interval) -> int:
        """The events that the archive has now for one of `published`."""
        published = next(each for each in self.published if each.interval == interval)
        return _archived(published) + self.pending[interval.id]


def pending_late(environment: Environment, pipeline: Pipeline, published: Sequence[Publication]) -> dict[str, int]:
    """Per published interval (its id), its events in the raw archive now less those that its run read. Exact.

    Its events are those that its run read: of that version's topic, and where its windows cross the interval's edges,
    beyond it (see `Pipeline.reads`), so that one event may be pending for two intervals. Where a run says how many rows
    the archive had of each day it read, and there are no more now, none is.

    An archive is opened once, and after `published` was read: no count is of an older archive than its run's. A
    negative number says that the archive has lost events. One without `rows_read` has proven nothing: all are late.
    A run that decoded anew (decision 25) may have read more or fewer than the archive calls events: it says how many.
    """
    event_times = {
        version: declared(environment, pipeline, version).topic.event_time
        for version in {each.version for each in published}
    }
    alike: dict[tuple[str, str], list[Publication]] = defaultdict(list)
    for each in published:
        alike[read_topic(pipeline, each.certificate), event_times[each.version]].append(each)
    pending: dict[str, int] = {}
    for (topic, event_time), mine in alike.items():
        pending |= _pending(environment, pipeline, topic, event_time, mine)
    return dict(sorted(pending.items()))


def look_back(environment: Environment, pipeline: Pipeline) -> LookBack:
    """At everything that is published of the pipeline."""
    pipeline = declared_served(environment, pipeline)
    served = publications(environment, pipeline)
    published = [each for each in served if is_of_topic(pipeline, each)]
    answered = frozenset(each.interval.id for each in served)
    return LookBack(pipeline, published, pending_late(environment, pipeline, published), answered)


def overdue(
    environment: Environment,
    look: LookBack,
    until: datetime,
    within: timedelta,
    patience: timedelta = timedelta(minutes=1),
) -> tuple[dict[Interval, int], dict[Interval, int]]:
    """Published intervals that ended by `until` and whose run is no longer the best one, oldest first.

    These are those with pending late events, with their number, and those that are partial although their archive is
    proven complete by now, with 0 where no event is pending. Two dictionaries: those that ended no longer than `within`
    before `until`, which are to be repaired, and the older. `patience`: how long the archive has in all to reach where
    Kafka was when that was asked: it is always a little behind a topic that is written to.
    """
    ended = [each for each in look.published if each.interval.end <= until]
    # The newest first: they are those that are repaired.
    unproven = [each for each in reversed(ended) if not each.is_proven]
    proven = _proven_by_now(environment, look.pipeline, unproven, datetime.now(UTC) + patience)
    found = [each.interval for each in ended if look.pending[each.interval.id] > 0 or each.interval in proven]
    counts = {interval: max(0, look.pending[interval.id]) for interval in found}
    recent = {interval: count for interval, count in counts.items() if interval.end >= until - within}
    return recent, {interval: count for interval, count in counts.items() if interval not in recent}


def why_repaired(pending: int) -> str:
    """In words, of a number that `overdue` gives."""
    return f"{pending:,} pending late events" if pending else "partial, and proven complete by now"


def is_of_topic(pipeline: Pipeline, publication: Publication) -> bool:
    """Whether its run read the topic that `pipeline` declares."""
    return read_topic(pipeline, publication.certificate) == pipeline.topic.name


def _pending(
    environment: Environment, pipeline: Pipeline, topic: str, event_time: str, published: Sequence[Publication]
) -> dict[str, int]:
    """Of publications of one topic, with one field that has the event time."""
    spans = [(read_span(pipeline, each.interval, each.result), each) for each in published]
    read = {span: _archived(each) for span, each in spans}
    days = {span: each.result.get("rows_by_day") or {} for span, each in spans}
    table = open_table(environment, Lake(environment.lake).raw(topic))
    counted = count_events(table, event_time, read, days) if table is not None else {}
    return {each.interval.id: counted.get(span, 0) - _archived(each) for span, each in spans}


def _archived(publication: Publication) -> int:
    """The events that the archive had when the run read it, as the archive counts them."""
    result = publication.result
    return int(result.get("rows_archived", result.get("rows_read")) or 0)


def _proven_by_now(
    environment: Environment, pipeline: Pipeline, unproven: Sequence[Publication], deadline: datetime
) -> set[Interval]:
    """Those of which a run now would be complete, or partial for what was accepted as lost alone."""
    needed: KafkaEnd | None = None
    found = set()
    for each in unproven:
        claim = interval_claim(environment, pipeline, each.interval)
        # Where Kafka was is asked for once: a claim whose records were due by then needs no more.
        known = needed if needed and needed.told_at >= claim.due else None
        look = claim.try_look(known)
        while look.missing and look.needed and datetime.now(UTC) < deadline:
            time.sleep(_POLL.total_seconds())
            look = claim.try_look(look.needed)
        needed = needed or look.needed
        if look.proof():
            found.add(each.interval)
    return found

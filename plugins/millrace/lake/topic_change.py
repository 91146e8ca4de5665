"""What would vanish from a view where a version answers that reads another topic: see docs/decisions/0043."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.interval import Interval
from jobs.lake import Lake, archive_query
from jobs.pipeline import Pipeline
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.coverage import read_coverage
from millrace.lake.declared import declared
from millrace.lake.event_counts import count_events, step_of
from millrace.lake.progress import behind
from millrace.lake.tables import binned, open_table, query_tables

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from millrace.lake.published import Publication

__all__ = ["lacking_events", "topic_problems"]

_LISTED = 5
_REMEMBERED = 10_000
_MICROSECOND = timedelta(microseconds=1)
_answers: dict[tuple[object, Interval], int] = {}  # by the state of both archives, and a span


def topic_problems(
    environment: Environment,
    pipeline: Pipeline,
    version: str,
    served: str,
    shown: Collection[str],
    published: Collection[Publication],
    taken_over: Collection[str],
    processed: Mapping[int, int],
) -> Iterator[str]:
    """Why events would lack in the view once the version is served, for it reads another topic than what answers now.

    `shown`: the intervals (their ids) that the speed layer of version `served` serves. `published`: what other versions
    have published and serve; the version would answer for those `taken_over`, for it has published them too.
    `processed`: the offsets that the stream of version `served` had processed before `shown` was asked for.
    """
    to = declared(environment, pipeline, version)
    answers: dict[str, list[Interval]] = defaultdict(list)
    kept: dict[str, list[Interval]] = defaultdict(list)
    answers[served] = [Interval.parse(each, to.interval) for each in shown]
    for each in published:
        (answers if each.interval.id in taken_over else kept)[each.version].append(each.interval)
    for now in sorted({*answers, *kept}):
        topic = declared(environment, pipeline, now).topic
        if topic.name == to.topic.name:
            continue
        if now == served and shown:  # before the archive is opened to be counted, else it may have been behind then
            yield from _uncounted(environment, topic, served, processed)
        if lacking := _lacking(environment, to, to.topic, topic, answers[now]):
            open_still = {each for each in lacking if now == served and each.id in shown and each.id not in taken_over}
            runs = open_still - set(_lacking(environment, to, topic, to.topic, open_still))
            for those, is_run in ((runs, True), (set(lacking) - runs, False)):
                if those:
                    yield _vanishing(to, topic, now, {each: lacking[each] for each in sorted(those)}, is_run)
        if lacking := _lacking(environment, to, topic, to.topic, kept[now]):
            yield _unseen(to, topic, version, now, lacking)


def lacking_events(
    environment: Environment, topic: Topic, other: Topic, spans: Collection[Interval]
) -> dict[Interval, int]:
    """Per span of event time, how many events the archive of `other` has in it that the archive of `topic` lacks; spans
    of which it lacks none are left out.

    An event is there too where one of the same span has the same bytes, and as often: one topic may be a copy of the
    other. Of tables that have not changed the answer is remembered: who waits may ask again and again.
    """
    theirs = open_table(environment, Lake(environment.lake).raw(other.name)) if spans else None
    if theirs is None:
        return {}
    mine = open_table(environment, Lake(environment.lake).raw(topic.name))
    of = (_state(theirs), other.event_time, mine and _state(mine), topic.event_time)
    known = {span: _answers.get((of, span)) for span in set(spans)}
    found = {span: count for span, count in known.items() if count is not None}
    new = dict.fromkeys(known.keys() - found.keys(), 0)
    for span, count in (count_events(theirs, other.event_time, new, {}) if new else {}).items():
        found[span] = _not_in(mine, topic, theirs, other, span) if mine and count else count
    if len(_answers) + len(new) > _REMEMBERED:
        _answers.clear()
    _answers.update({(of, span): found[span] for span in new})
    return {span: found[span] for span in sorted(found) if found[span]}


def _lacking(
    environment: Environment, pipeline: Pipeline, topic: Topic, other: Topic, intervals: Collection[Interval]
) -> dict[Interval, int]:
    """As `lacking_events`, of what runs of the intervals read."""
    spans = {each: pipeline.reads(each) for each in intervals}
    found = lacking_events(environment, topic, other, set(spans.values()))
    return {each: found[span] for each, span in sorted(spans.items()) if span in found}


def _vanishing(to: Pipeline, topic: Topic, now: str, lacking: Mapping[Interval, int], is_run: bool) -> str:
    """`is_run`: whether a run of version `now` would answer for these intervals, and have all."""
    copy = f"have the same records written to topic {to.topic.name!r} too"
    run = (
        f"once such an interval has ended, publish it under version {now}, which goes on answering for it:"
        f" `millrace reprocess {to.name} --version {now} INTERVAL …`"
    )
    remedy = f"{run}; or {copy}" if is_run else f"{copy}, for no run of version {now} would answer for all of them"
    return (
        f"it reads topic {to.topic.name!r}, which lacks {_told(lacking)} that topic {topic.name!r} has; they would"
        f" vanish from the view: {remedy} (a switch leaves them out with --leave-events)"
    )


def _unseen(to: Pipeline, topic: Topic, version: str, now: str, lacking: Mapping[Interval, int]) -> str:
    return (
        f"version {now} answers, from topic {topic.name!r}, for intervals of which topic {to.topic.name!r} has"
        f" {_told(lacking)} that lack there: no version counts all of them; have the records that topic {topic.name!r}"
        f" has of them written to topic {to.topic.name!r} too, and run them: `millrace reprocess {to.name} --version"
        f" {version} INTERVAL …` (a switch leaves them out with --leave-events)"
    )


def _told(lacking: Mapping[Interval, int]) -> str:
    ids = [each.id for each in lacking]
    more = f" and {len(ids) - _LISTED} more" if len(ids) > _LISTED else ""
    return f"{sum(lacking.values()):,} events (of {', '.join(ids[:_LISTED])}{more})"


def _uncounted(environment: Environment, topic: Topic, served: str, processed: Mapping[int, int]) -> Iterator[str]:
    """Only what is archived can be counted: it has to be all that is served."""
    coverage = read_coverage(environment, topic)
    if missing := behind(coverage.offsets if coverage else {}, dict(processed)):
        yield (
            f"it reads another topic than version {served}, and the archive of topic {topic.name!r} lacks {missing:,}"
            f" records that version {served} has processed, so that nobody knows what would vanish from the view; wait"
            f" while the DAG {archive_query(topic.name)!r} runs (a switch goes on with --leave-events)"
        )


def _state(archive: DeltaTable) -> tuple[str, int]:
    """What is in it: a table that was deleted and made again has another id."""
    return str(archive.metadata().id), archive.version()


def _not_in(mine: DeltaTable, topic: Topic, theirs: DeltaTable, other: Topic, span: Interval) -> int:
    sql = f"""
        SELECT coalesce(sum(theirs.found - coalesce(mine.found, 0)), 0) AS lacking
        FROM ({_by_value("of_other", other, span)}) theirs LEFT JOIN ({_by_value("of_topic", topic, span)}) mine
        ON theirs.digest IS NOT DISTINCT FROM mine.digest WHERE theirs.found > coalesce(mine.found, 0)"""
    return int(query_tables({"of_topic": mine, "of_other": theirs}, sql)[0]["lacking"])


def _by_value(table: str, topic: Topic, span: Interval) -> str:
    """A digest stands for the value: of a day of large records the values themselves are more than memory holds."""
    step = binned(topic.event_time, step_of([span]))
    last_day = (span.end - _MICROSECOND).date()
    return (
        f"SELECT sha256(value) AS digest, count(*) AS found FROM {table}"
        f" WHERE event_date BETWEEN DATE '{span.start.date()}' AND DATE '{last_day}'"
        f" AND {step} >= TIMESTAMP '{span.start.isoformat()}' AND {step} < TIMESTAMP '{span.end.isoformat()}'"
        " GROUP BY sha256(value)"
    )

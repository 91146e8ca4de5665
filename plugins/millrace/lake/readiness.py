"""Whether a version may be switched to: what readers have now, they must still have then."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import UTC, datetime, timedelta

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import speed_stream
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.catch_up import offsets_to_reach, processed_offsets, whole_intervals
from millrace.lake.declared import declared
from millrace.lake.outdated import outdated
from millrace.lake.progress import behind
from millrace.lake.published import Publication, all_publications, served_publications
from millrace.lake.serving import preferred_versions, served_version
from millrace.lake.speed_log import SpeedLog
from millrace.lake.topic_change import topic_problems
from millrace.lake.versions import check_known
from millrace.waiting import until

__all__ = [
    "NotReadyError",
    "await_ready",
    "check_switch",
    "length_problems",
    "served_offsets",
    "switch_problems",
    "topic_changes",
]

_LISTED = 5


class NotReadyError(MillraceError):
    """A version does not have yet what is served."""


def check_switch(
    environment: Environment,
    pipeline: Pipeline,
    version: str,
    *,
    wait: timedelta = timedelta(0),
    look_back: timedelta | None = None,
    allow_older: bool = False,
    leave_events: bool = False,
) -> None:
    """As `await_ready`; raises UsageError for a version that has left nothing on the lake."""
    check_known(environment, pipeline, version)
    allowed = {"allow_older": allow_older, "leave_events": leave_events}
    await_ready(environment, pipeline, version, wait=wait, look_back=look_back, **allowed)


def await_ready(
    environment: Environment,
    pipeline: Pipeline,
    version: str,
    *,
    wait: timedelta = timedelta(0),
    look_back: timedelta | None = None,
    allow_older: bool = False,
    leave_events: bool = False,
) -> None:
    """Returns when the version has what is served now; see `switch_problems` for what that means.

    Raises NotReadyError where something is still missing after `wait`.
    """
    offsets, log = served_offsets(environment, pipeline, version), SpeedLog(environment, pipeline)
    problems: list[str] = []

    def is_ready() -> bool:
        problems[:] = switch_problems(
            environment,
            pipeline,
            version,
            offsets,
            look_back=look_back,
            allow_older=allow_older,
            leave_events=leave_events,
            log=log,
        )
        return not problems

    if not until(is_ready, wait, timedelta(seconds=2)):
        raise NotReadyError(
            f"pipeline {pipeline.name!r}: version {version} is not ready to be served: {'; '.join(problems)}"
        )


def served_offsets(environment: Environment, pipeline: Pipeline, version: str) -> dict[int, int]:
    """Per partition, the offset that the version's stream has to reach to be where the served one is at this moment:
    see `offsets_to_reach`.

    Ask once, and then look until the version has reached it: both go on reading meanwhile.
    """
    return offsets_to_reach(environment, pipeline, version, served_version(environment, pipeline))


def switch_problems(
    environment: Environment,
    pipeline: Pipeline,
    version: str,
    offsets: Mapping[int, int],
    *,
    look_back: timedelta | None = None,
    allow_older: bool = False,
    leave_events: bool = False,
    log: SpeedLog | None = None,
) -> list[str]:
    """What keeps the version from being served, each with its remedy; empty where nothing does.

    Its stream must have reached `offsets` (see `served_offsets`); it must have rows of each interval that the speed
    layer serves, and have read that from its beginning; it must have published every served interval that ended in the
    last `look_back` (default: ever), unless with `allow_older`, by which these stay served by the older version; what
    both have published it must have as whole as the served one (see `millrace.lake.outdated`); intervals must be of one
    length. Where it reads another topic, no event may lack in the view for that, unless with `leave_events` (see
    `millrace.lake.topic_change`). Who looks again gives the same `log` each time.
    """
    versions = preferred_versions(environment, pipeline)
    published = all_publications(environment, pipeline)
    speed = (log or SpeedLog(environment, pipeline)).intervals()
    of_version = {each.interval.id for each in published if each.version == version}
    served = served_publications(published, versions)
    shown = set(speed.get(versions[0], ())) - {each.interval.id for each in served}
    whole = whole_intervals(environment, pipeline, version, speed.get(version, ()))
    since = datetime.now(UTC) - look_back if look_back else None
    older = [each for each in served if each.interval.id not in of_version and (not since or each.interval.end > since)]
    lengths = list(length_problems([*served, *(each for each in published if each.version == version)]))
    return [
        *_behind(pipeline, version, offsets, processed_offsets(environment, pipeline, version) or {}),
        *_vanishing(pipeline, version, shown - of_version - whole),
        *([] if leave_events or lengths else topic_changes(environment, pipeline, version, log)),
        *([] if allow_older else _older(pipeline, version, older)),
        *([] if lengths else _outdated(pipeline, version, outdated(environment, pipeline, version))),
        *lengths,
    ]


def topic_changes(environment: Environment, pipeline: Pipeline, version: str, log: SpeedLog | None = None) -> list[str]:
    """Those of `switch_problems` that come of reading another topic than what is served: see
    `millrace.lake.topic_change`. Where its intervals are of another length, that alone, for they cannot be compared."""
    versions = preferred_versions(environment, pipeline)
    if len({declared(environment, pipeline, each).topic.name for each in (version, *versions)}) == 1:
        return []
    processed = processed_offsets(environment, pipeline, versions[0]) or {}  # first: what is looked at below has it all
    published = all_publications(environment, pipeline)
    taken_over = {each.interval.id for each in published if each.version == version}
    served = served_publications(published, versions)
    others = [each for each in served if each.version != version]
    speed = (log or SpeedLog(environment, pipeline)).intervals().get(versions[0], {})
    shown = set(speed) - {each.interval.id for each in served}
    compared = (version, versions[0]) if shown else (version,)
    lengths = (declared(environment, pipeline, each).interval for each in compared)
    if problems := list(length_problems(served, *lengths)):
        return problems
    return list(topic_problems(environment, pipeline, version, versions[0], shown, others, taken_over, processed))


def _behind(pipeline: Pipeline, version: str, offsets: Mapping[int, int], has: Mapping[int, int]) -> Iterator[str]:
    if missing := behind(dict(has), dict(offsets)):
        lacking = [partition for partition, end in sorted(offsets.items()) if has.get(partition, 0) < end]
        listed = ", ".join(f"partition {p} has {has.get(p, 0):,} of {offsets[p]:,}" for p in lacking)
        yield (
            f"its speed layer is {missing:,} records behind the served version's: {listed}; wait while the stream"
            f" {speed_stream(pipeline.name, version)} runs"
        )


def _vanishing(pipeline: Pipeline, version: str, intervals: Collection[str]) -> Iterator[str]:
    if intervals:
        yield (
            f"{len(intervals)} intervals that the speed layer serves would have no rows, or only late ones:"
            f" {_listed(intervals)}; wait until its stream has all rows of them, or publish them:"
            f" `millrace reprocess {pipeline.name} --version {version} INTERVAL …`"
        )


def _older(pipeline: Pipeline, version: str, older: Collection[Publication]) -> Iterator[str]:
    if older:
        of = ", ".join(sorted({each.version for each in older}))
        yield (
            f"{len(older)} served intervals are published by other versions ({of}) alone, which would go on serving"
            f" them: {_listed([each.interval.id for each in older])}; run them under version {version}:"
            f" `millrace reprocess {pipeline.name} --version {version} INTERVAL …` (a switch leaves them"
            " there with --allow-older)"
        )


def _outdated(pipeline: Pipeline, version: str, lacking: Mapping[Interval, str]) -> Iterator[str]:
    if lacking:
        listed = _listed([f"{each.id} {why}" for each, why in lacking.items()])
        yield (
            f"{len(lacking)} intervals that it has published, one that serves them has published better: {listed};"
            f" run them again: `millrace reprocess {pipeline.name} --version {version} INTERVAL …`"
        )


def length_problems(publications: Collection[Publication], *lengths_beside: timedelta) -> Iterator[str]:
    """Intervals are told apart by their start: of two lengths, one would hide a part of the other."""
    lengths = {*lengths_beside, *(each.interval.end - each.interval.start for each in publications)}
    if len(lengths) > 1:
        yield (
            f"its intervals are of another length than the served ones ({' and '.join(map(str, sorted(lengths)))});"
            " one view has intervals of one length: declare a pipeline of another name"
        )


def _listed(intervals: Collection[str]) -> str:
    found = sorted(intervals)
    return ", ".join(found[:_LISTED]) + (f" and {len(found) - _LISTED} more" if len(found) > _LISTED else "")

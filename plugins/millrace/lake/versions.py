"""The versions of a pipeline that have left something on the lake, and what each has."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from jobs.errors import UsageError
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.catch_up import processed_offsets
from millrace.lake.published import Publication, all_publications
from millrace.lake.serving import preferred_versions
from millrace.lake.speed_log import SpeedLog

__all__ = ["VersionState", "check_known", "speed_intervals", "version_states"]


@dataclass(frozen=True)
class VersionState:
    """`published` and `speed`: the intervals (their ids, in order) that it has published, or has speed rows of.

    `micro_batch` is the newest whose rows are in the speed log, `processed` the records that its stream has read; None
    where there are none. `partial`: of the published intervals.
    """

    version: str
    published: tuple[str, ...]
    partial: tuple[str, ...]
    speed: tuple[str, ...]
    micro_batch: int | None
    processed: int | None


def version_states(environment: Environment, pipeline: Pipeline) -> list[VersionState]:
    """The served versions in order of preference, then those that are not served, newest interval first."""
    preferred = preferred_versions(environment, pipeline)
    published, speed = all_publications(environment, pipeline), speed_intervals(environment, pipeline)
    names = {*preferred, *(each.version for each in published), *speed}
    states = [_state(environment, pipeline, name, published, speed.get(name, {})) for name in sorted(names)]
    others = sorted(states, key=lambda state: max(state.published + state.speed, default=""), reverse=True)
    return sorted(others, key=lambda s: preferred.index(s.version) if s.version in preferred else len(preferred))


def speed_intervals(environment: Environment, pipeline: Pipeline) -> dict[str, dict[str, int]]:
    """Per version with rows in the speed log: the intervals (their ids) and the newest micro-batch of each."""
    return SpeedLog(environment, pipeline).intervals()


def check_known(environment: Environment, pipeline: Pipeline, *versions: str) -> None:
    """Raises UsageError for a version that has left nothing on the lake."""
    known = {each.version for each in all_publications(environment, pipeline)}
    known |= speed_intervals(environment, pipeline).keys()
    for version in versions:
        if version not in known:
            raise UsageError(
                f"pipeline {pipeline.name!r}: version {version} has neither published an interval nor speed rows; there"
                f" are: {', '.join(sorted(known)) or 'none'}; start its speed layer or backfill under it first"
            )


def _state(
    environment: Environment,
    pipeline: Pipeline,
    version: str,
    published: list[Publication],
    speed: Mapping[str, int],
) -> VersionState:
    offsets = processed_offsets(environment, pipeline, version)
    return VersionState(
        version,
        tuple(each.interval.id for each in published if each.version == version),
        tuple(each.interval.id for each in published if each.version == version and each.partial),
        tuple(sorted(speed)),
        max(speed.values(), default=None),
        None if offsets is None else sum(offsets.values()),
    )

"""What a scheduled run finds beside its own interval and what it repairs: missed intervals, and those held back."""

from __future__ import annotations

import logging
from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, timedelta
from functools import cached_property
from typing import TYPE_CHECKING

from jobs.interval import Interval
from jobs.pipeline import Pipeline
from millrace.environment import Environment

if TYPE_CHECKING:
    from millrace.lake.pending_late import LookBack

__all__ = ["CoveredElsewhere", "Night", "named"]

CoveredElsewhere = Callable[[Collection[Interval]], Collection[Interval]]
"""Those of some intervals that another run covers, which is queued or running."""

_log = logging.getLogger(__name__)
_NAMED = 10


class Night:
    """The look back of one scheduled run; it logs what it leaves, with the remedy.

    `pipeline`: as the code here declares it.
    """

    def __init__(self, environment: Environment, pipeline: Pipeline, look: LookBack) -> None:
        self._environment = environment
        self._pipeline = pipeline
        self._look = look

    def missed(
        self, until: datetime, within: timedelta, covered: Collection[Interval], elsewhere: CoveredElsewhere
    ) -> dict[Interval, int]:
        """Those to be run, with the number of their archived events: see `millrace.lake.missed`. Neither what this run
        has `covered`, nor what another one is about to."""
        from millrace.lake.missed import missed

        found, older = missed(self._environment, self._look, self._speed, until, within)
        if older:
            _log.warning("%s", _out_of_reach(self._pipeline, older, within))
        recent = {each: count for each, count in found.items() if each not in covered}
        left = elsewhere(recent)
        for interval in left:
            _log.info("interval %s: missed, and left to the run that covers it: queued or running", interval.id)
        return {each: count for each, count in recent.items() if each not in left}

    def held_back(self, archived: Mapping[Interval, int]) -> Collection[Interval]:
        """Those of `archived`, the events that the archive has for each, that the gate would refuse again: see
        `millrace.lake.held_back`."""
        from millrace.lake.held_back import held_back

        found = held_back(self._environment, self._pipeline, self._version, archived, self._speed)
        for interval, reason in found.items():
            _log.warning("interval %s: held back, nothing has changed since its newest run: %s", interval.id, reason)
        return found

    @cached_property
    def _version(self) -> str:
        from millrace.lake.serving import served_version

        return served_version(self._environment, self._pipeline)

    @cached_property
    def _speed(self) -> Mapping[str, int]:
        """The newest micro-batch with rows of each interval, by its id."""
        from millrace.lake.versions import speed_intervals

        return speed_intervals(self._environment, self._pipeline).get(self._version, {})


def named(texts: Sequence[str]) -> str:
    """The first few of them."""
    return ", ".join(texts[:_NAMED]) + (", …" if len(texts) > _NAMED else "")


def _out_of_reach(pipeline: Pipeline, older: Mapping[Interval, int], within: timedelta) -> str:
    which = named([f"{interval.id} ({count:,} events)" for interval, count in older.items()])
    return (
        f"{len(older)} intervals that ended more than {within} ago were missed: no run of them is published, so what"
        f" came late for them is in no answer: {which}; create a backfill of their days, or run each with"
        f" `millrace reprocess {pipeline.name} INTERVAL`"
    )

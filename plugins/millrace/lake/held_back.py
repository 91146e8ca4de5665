"""Held back: intervals whose newest run the gate refused, and would refuse again, for nothing has changed since."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.gate import ParityError, check_parity
from millrace.lake.speed_removal import as_compared
from millrace.lake.store import LakeStore

__all__ = ["held_back"]


def held_back(
    environment: Environment,
    pipeline: Pipeline,
    version: str,
    archived: Mapping[Interval, int],
    speed: Mapping[str, int],
) -> dict[Interval, str]:
    """Those of `archived` that a run under `version` would not get published, and why.

    The gate does not accept what the newest run under it found; the archive has as many events as that run read (they
    are only ever added), and the speed layer has written no row since. `archived`: the events that the archive has now
    for each. `speed`: the newest micro-batch with rows of an interval, by its id. `pipeline`: as the code here declares
    it, whose `max_unexplained` counts.
    """
    store, found = LakeStore(environment), {}
    for interval, events in archived.items():
        result = store.read_json(Lake("").newest_result(pipeline.name, version, interval.id))
        if result and _is_same(result, events, speed.get(interval.id)):
            try:
                compared = as_compared(environment, pipeline.name, interval.id, result)
                check_parity(pipeline, interval, result["run"], compared)
            except ParityError as error:
                found[interval] = str(error)
    return found


def _is_same(result: Mapping[str, Any], events: int, micro_batch: int | None) -> bool:
    """Whether a run now would read the same events, and compare the same rows."""
    read, compared = result.get("rows_archived", result.get("rows_read")), result.get("speed_batch")
    return read == events and (micro_batch is None or (compared is not None and micro_batch <= compared))

"""Whether one version of a speed layer has processed what another one has."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from jobs.checkpoint import Checkpoint, of_topic
from jobs.interval import Interval
from jobs.lake import Lake, speed_query
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.progress import behind
from millrace.lake.store import LakeStore
from millrace.lake.text_files import TextFiles
from millrace.waiting import until

__all__ = ["is_caught_up", "processed_offsets", "records_behind", "whole_intervals"]


def is_caught_up(environment: Environment, pipeline: Pipeline, version: str, to: str, within: timedelta) -> bool:
    """Whether `version` has processed, within this time, all that version `to` has processed by now.

    Both run on: what `to` does meanwhile does not count.
    """
    target = processed_offsets(environment, pipeline, to) or {}

    def reached() -> bool:
        found = processed_offsets(environment, pipeline, version)
        return found is not None and behind(found, target) == 0

    return until(reached, within)


def records_behind(environment: Environment, pipeline: Pipeline, version: str, to: str) -> int:
    """Records that version `to` has processed and `version` has not."""
    target = processed_offsets(environment, pipeline, to) or {}
    return behind(processed_offsets(environment, pipeline, version) or {}, target)


def processed_offsets(environment: Environment, pipeline: Pipeline, version: str) -> dict[int, int] | None:
    """Per partition, the offset below which its rows are written, or where it began; None before its first start.

    From the checkpoint: the journal lags a heartbeat behind, and has no line of a stream that found nothing to read.
    """
    files = TextFiles(LakeStore(environment))
    checkpoint = Checkpoint(files, Lake("").checkpoint(speed_query(pipeline.name), version))
    for batch in reversed(checkpoint.committed()):
        if planned := checkpoint.planned(batch):
            return of_topic(planned.end_offsets, pipeline.topic.name)
    return of_topic(checkpoint.first_offsets(), pipeline.topic.name) or None


def whole_intervals(
    environment: Environment, pipeline: Pipeline, version: str, intervals: Collection[str]
) -> frozenset[str]:
    """Those of `intervals` (ids) that its stream has read from their beginning (see `jobs.starting`): of an earlier one
    it has rows of what came late alone."""
    if not intervals:
        return frozenset()
    folder = Lake("").checkpoint(speed_query(pipeline.name), version)
    noted = (LakeStore(environment).read_json(f"{folder}/started.json") or {}).get("whole_from")
    begun = datetime.fromisoformat(noted) if noted else None
    return frozenset(each for each in intervals if begun is None or each >= Interval(begun, begun).id)

"""Whether one version of a speed layer has processed what another one has."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime, timedelta

from jobs.accepted_losses import accepted_losses
from jobs.checkpoint import Checkpoint, of_topic
from jobs.interval import Interval
from jobs.lake import Lake, speed_query
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.coverage import read_coverage
from millrace.lake.declared import declared
from millrace.lake.progress import behind
from millrace.lake.serving import served_version
from millrace.lake.store import LakeStore
from millrace.lake.text_files import TextFiles
from millrace.waiting import until

__all__ = ["is_caught_up", "offsets_to_reach", "processed_offsets", "records_behind", "whole_intervals"]


def is_caught_up(environment: Environment, pipeline: Pipeline, version: str, to: str, within: timedelta) -> bool:
    """Whether `version` has reached, within this time, where it has to be now: see `offsets_to_reach`.

    Both run on: what `to` does meanwhile does not count.
    """
    target = offsets_to_reach(environment, pipeline, version, to)

    def reached() -> bool:
        found = processed_offsets(environment, pipeline, version)
        return found is not None and behind(found, target) == 0

    return until(reached, within)


def records_behind(environment: Environment, pipeline: Pipeline, version: str, to: str) -> int:
    """Records that `version` has yet to process to be where version `to` is: see `offsets_to_reach`."""
    target = offsets_to_reach(environment, pipeline, version, to)
    return behind(processed_offsets(environment, pipeline, version) or {}, target)


def offsets_to_reach(environment: Environment, pipeline: Pipeline, version: str, to: str) -> dict[int, int]:
    """Per partition, the offset below which version `to` has processed everything by now.

    Where that reads another topic, its offsets say nothing: of the topic that `version` reads, what is archived by now.
    """
    topic = declared(environment, pipeline, version).topic
    if declared(environment, pipeline, to).topic.name == topic.name:
        return processed_offsets(environment, pipeline, to) or {}
    coverage = read_coverage(environment, topic)
    return coverage.offsets if coverage else {}


def processed_offsets(environment: Environment, pipeline: Pipeline, version: str) -> dict[int, int] | None:
    """Per partition, the offset below which its rows are written, or where it began; None before its first start.

    From the checkpoint: the journal lags a heartbeat behind, and has no line of a stream that found nothing to read.
    """
    files, topic = TextFiles(LakeStore(environment)), declared(environment, pipeline, version).topic.name
    checkpoint = Checkpoint(files, Lake("").checkpoint(speed_query(pipeline.name), version))
    for batch in reversed(checkpoint.committed()):
        if planned := checkpoint.planned(batch):
            return of_topic(planned.end_offsets, topic)
    return of_topic(checkpoint.first_offsets(), topic) or None


def whole_intervals(
    environment: Environment, pipeline: Pipeline, version: str, intervals: Collection[str]
) -> frozenset[str]:
    """Those of `intervals` (ids) that its stream has read from their beginning (see `jobs.starting`): of an earlier one
    it has rows of what came late alone. Nor those that began before it went on behind a loss that was accepted, which
    may have been of them; but for a loss that the served version's stream has in the same way."""
    if not intervals:
        return frozenset()
    store, folder = LakeStore(environment), Lake("").checkpoint(speed_query(pipeline.name), version)
    noted = (store.read_json(f"{folder}/started.json") or {}).get("whole_from")
    topic = declared(environment, pipeline, version).topic.name
    served = Lake("").checkpoint(speed_query(pipeline.name), served_version(environment, pipeline))
    losses = [loss for loss in accepted_losses(TextFiles(store), Lake(""), topic) if folder in loss.skipped]
    skips = [loss.when for loss in losses if loss.skipped[folder] != loss.skipped.get(served)]
    begun = max([*skips, *([datetime.fromisoformat(noted)] if noted else [])], default=None)
    return frozenset(each for each in intervals if begun is None or each >= Interval(begun, begun).id)

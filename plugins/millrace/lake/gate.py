"""The gate before publishing: differences between the layers that nothing explains keep a run from being served."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.pipeline import Pipeline
from jobs.verdicts import UNEXPLAINED

__all__ = ["ParityError", "check_parity"]


class ParityError(MillraceError):
    """The layers differ, and it is not known why."""


def check_parity(pipeline: Pipeline, interval: Interval, run: str, result: Mapping[str, Any]) -> None:
    """Raises ParityError where a run has more unexplained differences than the pipeline accepts.

    `result` is what the run wrote: see `jobs.reprocess.reprocess`. Differences with a cause pass, however many.
    """
    parity = result.get("parity") or {}
    found = (parity.get("causes") or {}).get(UNEXPLAINED, 0)
    if found > pipeline.max_unexplained:
        raise ParityError(
            f"pipeline {pipeline.name!r}: interval {interval.id}, run {run}: {found:,} of"
            f" {sum(parity['causes'].values()):,} differences between batch and speed are unexplained, and"
            f" {pipeline.max_unexplained:,} are accepted, so the run is not published and what was served is kept;"
            f" `millrace explain {pipeline.name} {interval.id} --version {result['version']}` shows them: correct the"
            " cause and reprocess, or raise the pipeline's max_unexplained"
        )

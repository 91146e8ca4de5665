"""The task that runs a new version's stream beside the served one's, until it is served itself."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from jobs.lake import upgrade_query
from millrace.environment import Environment
from millrace.operators.spark_stream import SparkStreamOperator
from millrace.platforms.protocol import SparkJob
from millrace.supervision.generation import Generation
from millrace.supervision.served_stream import CandidateEnd, candidate_end
from millrace.triggers.spark_stream import SparkStreamTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CandidateStreamOperator"]

_GRACE = timedelta(seconds=60)


class CandidateStreamOperator(SparkStreamOperator):
    """Keeps the driver of `version` of the pipeline (its name) running beside that of the served version.

    It ends, and leaves the driver alone, when the version is served and the task of `<pipeline>__speed` has adopted
    the driver. Until then it is this task's: marking the task stops it. Once a later switch than number `since` (see
    `millrace.lake.serving_table`) serves another version, it was rolled back, or overtaken: the task stops the driver
    and ends.
    `make_job(version, environment=, owner=)` declares it.
    """

    template_fields: Sequence[str] = ("version", "since")

    def __init__(
        self, *, pipeline: str, version: Any, since: Any, make_job: Callable[..., SparkJob], **kwargs: Any
    ) -> None:
        super().__init__(query=upgrade_query(pipeline), make_job=make_job, follows=pipeline, **kwargs)
        self.pipeline = pipeline
        self.version = version
        self.since = since

    def declare(self, environment: Environment, owner: str) -> SparkJob:
        return self.make_job(self.version, environment=environment, owner=owner)

    def trigger(self, query: str, generation: str, **kwargs: Any) -> SparkStreamTrigger:
        return super().trigger(query, generation, candidate_since=int(self.since), **kwargs)

    def execute(self, context: Context) -> None:
        if not self._is_over(context):
            super().execute(context)

    def resume(
        self, context: Context, event: dict[str, Any], failures: int, owner: str | None, stream: str | None = None
    ) -> None:
        if not self._is_over(context):
            super().resume(context, event, failures, owner, stream)

    def hand_over(self, generation: Generation) -> None:
        """The driver was taken over, and was lost since: whoever has it brings it back."""

    def _is_over(self, context: Context) -> bool:
        if self.unreachable():
            return False
        candidate = self._supervise(Generation.of(context["ti"]))
        end = candidate_end(candidate, self.pipeline, int(self.since))
        if end is CandidateEnd.TAKEN_OVER:
            self.log.info("version %s is served, and the task of the speed layer has its driver", self.version)
        if end is CandidateEnd.SUPERSEDED:
            self.log.warning("another version is served since: %s was rolled back, or overtaken", self.version)
            self.log.info("%s", candidate.stop_own("another version is served since it began", _GRACE))
        return end is not None

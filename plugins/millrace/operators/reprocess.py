"""The task that reprocesses one interval."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from jobs.interval import Interval
from jobs.pipelines import find_pipeline
from millrace.environment import Environment
from millrace.operators.spark_job import SparkJobOperator
from millrace.platforms.protocol import SparkJob
from millrace.supervision.generation import Generation, asked_try, run_token

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["ReprocessOperator"]


class ReprocessOperator(SparkJobOperator):
    """Reprocesses `interval` (its id) of `pipeline` (its name) from the archive that `certificate` covers.

    Under `version`, by default the served one, whose code it runs. Returns the `run` that the batch rows are marked
    with: it is unique to the try that submitted the job.
    """

    template_fields: Sequence[str] = ("pipeline", "interval", "certificate", "version")

    def __init__(
        self, *, pipeline: str, interval: Any, certificate: Any, version: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(**kwargs)
        self.pipeline = pipeline
        self.interval = interval
        self.certificate = certificate
        self.version = version

    def make_job(self, context: Context, environment: Environment) -> SparkJob:
        """Named after the interval and the run, so that a retry finds its predecessor; a clear makes a new name."""
        from millrace.builders.reprocess_job import reprocess_job  # here: the builders import this module
        from millrace.lake.serving import served_version

        ti, pipeline = context["ti"], find_pipeline(self.pipeline)
        interval = Interval.parse(self.interval, pipeline.interval)
        run, name = str(Generation.of(ti)), f"{run_token(ti)}.{asked_try(ti, self.retries or 0)}"
        version = self.version or served_version(environment, pipeline)
        return reprocess_job(pipeline, interval, self.certificate, environment, run, version, name)

    def result(self, context: Context, owner: str) -> str:
        """The run: the owner of its job."""
        return owner

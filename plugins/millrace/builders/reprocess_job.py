"""The driver that reprocesses an interval: what it is called with."""

from __future__ import annotations

import json
from typing import Any

from jobs.interval import Interval
from jobs.lake import batch_query
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.platforms.protocol import JobCode, SparkJob

__all__ = ["reprocess_job"]


def reprocess_job(
    pipeline: Pipeline,
    interval: Interval,
    certificate: dict[str, Any],
    environment: Environment,
    run: str,
    version: str,
    name: str | None = None,
) -> SparkJob:
    """The job of `run` under a version, whose code it runs. Named after the interval and `name`, by default the run:
    two are two jobs.

    `certificate` is the JSON of a `millrace.lake.certificate.Certificate`: what of the archive the run reads.
    """
    return SparkJob(
        name=f"{batch_query(pipeline.name)}.{interval.id}.{name or run}",
        owner=run,
        code=JobCode(pipeline.name, version),
        arguments=(
            "reprocess",
            *("--pipeline", pipeline.name),
            *("--interval", interval.id),
            *("--run", run),
            *("--version", version),
            *("--raw-version", str(certificate["raw_version"])),
            *("--coverage", json.dumps(certificate["coverage"])),
            *("--lake", environment.lake),
        ),
    )

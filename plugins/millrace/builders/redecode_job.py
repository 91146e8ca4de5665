"""The driver that decodes a topic's dead letters again: what it is called with."""

from __future__ import annotations

from jobs.lake import redecode_query
from millrace.environment import Environment
from millrace.platforms.protocol import SparkJob

__all__ = ["redecode_job"]


def redecode_job(topic: str, environment: Environment, run: str, name: str | None = None) -> SparkJob:
    """The job of `run`, by default of that name: two are two jobs, and the topic's lock lets one of them work."""
    query = redecode_query(topic)
    arguments = ("redecode", "--topic", topic, "--run", run, "--lake", environment.lake)
    return SparkJob(f"{query}.{name or run}", arguments, run)

"""The drivers of streams: what they are called with."""

from __future__ import annotations

from datetime import timedelta

from jobs.lake import archive_query, speed_query
from jobs.pipeline import Pipeline
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.platforms.protocol import SparkJob

__all__ = ["archive_job", "speed_job"]


def archive_job(topic: Topic, trigger: timedelta, environment: Environment, owner: str) -> SparkJob:
    """The driver that archives `topic`, one micro-batch every `trigger`."""
    arguments = ("archive", "--topic", topic.name, *_common(environment, owner, trigger))
    return SparkJob(archive_query(topic.name), arguments, owner)


def speed_job(pipeline: Pipeline, trigger: timedelta, environment: Environment, owner: str) -> SparkJob:
    """The driver of the pipeline's speed layer, in the version of the code as it is now."""
    from jobs.version import fingerprint  # here: only a running task reads the transformation's source

    versioned = ("--pipeline", pipeline.name, "--version", fingerprint(pipeline))
    return SparkJob(speed_query(pipeline.name), ("speed", *versioned, *_common(environment, owner, trigger)), owner)


def _common(environment: Environment, owner: str, trigger: timedelta) -> tuple[str, ...]:
    seconds = f"{trigger.total_seconds():g}"
    where = ("--lake", environment.lake, "--bootstrap", environment.kafka_bootstrap)
    return (*where, "--owner", owner, "--trigger-s", seconds)

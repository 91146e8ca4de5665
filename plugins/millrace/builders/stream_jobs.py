"""The drivers of streams: what they are called with."""

from __future__ import annotations

import logging
from datetime import timedelta

from jobs.lake import alerts_query, archive_query, speed_stream
from jobs.pipeline import Pipeline
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.platforms.protocol import JobCode, SparkJob
from millrace.supervision.served_stream import code_line

__all__ = ["alerts_job", "archive_job", "served_speed_job", "speed_job"]

_log = logging.getLogger(__name__)


def archive_job(topic: Topic, trigger: timedelta, environment: Environment, owner: str) -> SparkJob:
    """The driver that archives `topic`, one micro-batch every `trigger`."""
    arguments = ("archive", "--topic", topic.name, *_common(environment, owner), *_every(trigger))
    return SparkJob(archive_query(topic.name), arguments, owner)


def alerts_job(pipeline: Pipeline, epoch: timedelta, environment: Environment, owner: str) -> SparkJob:
    """The driver of the pipeline's alerts, as they are declared here: they belong to no version.

    Real-time mode reads each partition of the topic in a task of its own, all at once.
    """
    seconds = f"{epoch.total_seconds():g}"
    arguments = ("alerts", "--pipeline", pipeline.name, *_common(environment, owner), "--epoch-s", seconds)
    return SparkJob(alerts_query(pipeline.name), arguments, owner, task_slots=pipeline.topic.partitions)


def served_speed_job(pipeline: Pipeline, trigger: timedelta, environment: Environment, owner: str) -> SparkJob:
    """The driver of the version that is served. Where none is, that of the code here is from now on.

    Where the code here is another version, the log says so.
    """
    from jobs.version import fingerprint  # here, as below: only a running task needs them
    from millrace.lake.serving import begin_serving

    serving = begin_serving(environment, pipeline, fingerprint(pipeline), by=owner)
    if told := code_line(environment, pipeline.name):
        _log.warning("%s", told)
    return speed_job(pipeline.name, serving.versions[0], trigger, environment, owner)


def speed_job(pipeline: str, version: str, trigger: timedelta, environment: Environment, owner: str) -> SparkJob:
    """The driver of the speed layer of a version of the pipeline (its name), which runs that version's code."""
    arguments = ("speed", "--pipeline", pipeline, "--version", version, *_common(environment, owner), *_every(trigger))
    return SparkJob(speed_stream(pipeline, version), arguments, owner, code=JobCode(pipeline, version))


def _common(environment: Environment, owner: str) -> tuple[str, ...]:
    return ("--lake", environment.lake, "--bootstrap", environment.kafka_bootstrap, "--owner", owner)


def _every(trigger: timedelta) -> tuple[str, ...]:
    return ("--trigger-s", f"{trigger.total_seconds():g}")

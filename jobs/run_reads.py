"""What a run has read, as its publication says it. No Spark import here: both sides ask."""

from __future__ import annotations

from datetime import datetime
from typing import Any, Mapping

from jobs.interval import Interval
from jobs.pipeline import Pipeline

__all__ = ["read_span", "read_topic"]


def read_span(pipeline: Pipeline, interval: Interval, result: Mapping[str, Any]) -> Interval:
    """The event times that a run of the interval read; by the code here where its result does not say."""
    told = result.get("reads")
    return Interval(*map(datetime.fromisoformat, told)) if told else pipeline.reads(interval)


def read_topic(pipeline: Pipeline, certificate: Mapping[str, Any]) -> str:
    """The topic whose archive a run read; by the code here where its certificate does not say."""
    return str(certificate.get("topic") or pipeline.topic.name)

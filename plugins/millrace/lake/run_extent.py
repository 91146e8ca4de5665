"""What a run read, as its version declares it: the code here may declare another topic, or other windows."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import upgrade_query
from jobs.pipeline import Pipeline
from jobs.run_reads import read_span
from millrace.lake.certificate import Certificate

__all__ = ["check_extent"]


def check_extent(
    pipeline: Pipeline, interval: Interval, run: str, certificate: Certificate, result: Mapping[str, Any]
) -> None:
    """Raises MillraceError where a run read something else than its certificate, made by the code here, is about.

    That is another topic, an interval of another length, or, unless it is partial, events of longer after the end.
    """
    if why := _what_differs(pipeline, interval, certificate, result):
        version = result.get("version")
        raise MillraceError(
            f"pipeline {pipeline.name!r}: interval {interval.id}, run {run}: version {version} {why}, so this run is"
            " not proven complete and not published; the code here declares the pipeline otherwise than that version:"
            f" bring it into service with the DAG `{upgrade_query(pipeline.name)}`, or check out the code of {version}"
        )


def _what_differs(
    pipeline: Pipeline, interval: Interval, certificate: Certificate, result: Mapping[str, Any]
) -> str | None:
    topic, end = result.get("topic", certificate.topic), result.get("interval_end")
    if topic != certificate.topic:
        return f"reads topic {topic!r}, and the certificate is of topic {certificate.topic!r}"
    if end and datetime.fromisoformat(end) != interval.end:
        return f"has an interval that ends at {end}, and {interval.end.isoformat()} was certified"
    needed = read_span(pipeline, interval, result).end + pipeline.topic.allowed_lateness
    told_at = certificate.kafka_end_at
    if told_at and not certificate.partial and datetime.fromisoformat(told_at) < needed:
        return f"read events that may arrive until {needed.isoformat()}, and the archive is certified as of {told_at}"
    return None

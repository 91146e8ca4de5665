"""What has to be proven before a pipeline's interval is run."""

from __future__ import annotations

from jobs.interval import Interval
from jobs.pipeline import Pipeline
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.certificate import Claim
from millrace.lake.declared import declared
from millrace.lake.published import all_publications
from millrace.lake.serving import preferred_versions

__all__ = ["interval_claim"]


def interval_claim(environment: Environment, pipeline: Pipeline, interval: Interval) -> Claim:
    """That the archive has all that a run of the interval reads, and all that was read for what answers now.

    `pipeline`: as the version of the run declared it.
    """
    others = _other_topics(environment, pipeline, interval)
    return Claim(environment, pipeline.topic, interval, pipeline.reads(interval), others)


def _other_topics(environment: Environment, pipeline: Pipeline, interval: Interval) -> tuple[Topic, ...]:
    """Those of which versions that serve have published the interval."""
    versions = preferred_versions(environment, pipeline)
    published = {p.version for p in all_publications(environment, pipeline) if p.interval == interval}
    topics = [declared(environment, pipeline, each).topic for each in versions if each in published]
    return tuple({topic.name: topic for topic in topics if topic.name != pipeline.topic.name}.values())

"""What a version has published, and the version that is served has published better since."""

from __future__ import annotations

from jobs.interval import Interval
from jobs.pipeline import Pipeline
from jobs.run_reads import read_topic
from millrace.environment import Environment
from millrace.lake.accepted_loss import accepted_within
from millrace.lake.declared import declared
from millrace.lake.pending_late import pending_late
from millrace.lake.published import Publication, all_publications, served_publications
from millrace.lake.serving import preferred_versions

__all__ = ["outdated"]


def outdated(environment: Environment, pipeline: Pipeline, version: str) -> dict[Interval, str]:
    """Per interval that another version serves and this one has published too, in order, what its own run lacks.

    Late events are repaired where they are served: what a version published before it is served, or once was, falls
    behind, and would take an answer back where it was served. Left out is what no other run could better. Runs that
    read another topic are not compared here: see `millrace.lake.topic_change`.
    """
    published = all_publications(environment, pipeline)
    own = {each.interval: each for each in published if each.version == version}
    served = served_publications(published, preferred_versions(environment, pipeline))
    others = [each for each in served if each.version != version and each.interval in own]
    both = [(own[each.interval], each) for each in others]
    pairs = [(mine, theirs) for mine, theirs in both if _topic(pipeline, mine) == _topic(pipeline, theirs)]
    # A run that read the archive no earlier lacks nothing of it.
    earlier = [(mine, theirs) for mine, theirs in pairs if mine.raw_version < theirs.raw_version]
    lacks = pending_late(environment, pipeline, [mine for mine, _ in earlier])
    they_lack = pending_late(environment, pipeline, [theirs for _, theirs in earlier])
    found = {}
    for mine, theirs in pairs:
        more = lacks.get(mine.interval.id, 0) - they_lack.get(mine.interval.id, 0)
        if theirs.is_proven and not mine.is_proven:
            found[mine.interval] = "partial"
        elif more > 0 and not _stays(environment, declared(environment, pipeline, version), mine):
            found[mine.interval] = f"without {more:,} late events"
    return found


def _stays(environment: Environment, pipeline: Pipeline, mine: Publication) -> bool:
    """Whether a run now would not take its place: it read what was lost since, which no run reads any more (decision
    31)."""
    lost = accepted_within(environment, pipeline.topic.name, pipeline.reads(mine.interval))
    return bool(lost) and not mine.partial


def _topic(pipeline: Pipeline, publication: Publication) -> str:
    return read_topic(pipeline, publication.certificate)

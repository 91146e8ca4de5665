"""Which version of a pipeline its speed task runs: the one that is served, whatever the code here is."""

from __future__ import annotations

from enum import Enum

from jobs.lake import speed_stream, upgrade_query
from jobs.pipelines import find_pipeline
from millrace.environment import Environment
from millrace.supervision.supervision import Supervision

__all__ = ["CandidateEnd", "candidate_end", "code_line", "served_stream"]


class CandidateEnd(Enum):
    """Why a candidate's stream is not its task's any more."""

    TAKEN_OVER = "taken over"
    SUPERSEDED = "superseded"


def served_stream(environment: Environment, pipeline: str) -> str | None:
    """The stream of the served version of the pipeline (its name); None where none is served yet."""
    from millrace.lake.serving import current_serving  # here, as below: parsing a DAG loads no client of the lake

    serving = current_serving(environment, find_pipeline(pipeline))
    return None if serving is None else speed_stream(pipeline, serving.versions[0])


def candidate_end(candidate: Supervision, pipeline: str, since: int) -> CandidateEnd | None:
    """Whether the candidate's version is served, and somebody else supervises its live driver; or another version is
    served by a later switch than number `since`, which was in force when the upgrade was planned. None: neither."""
    from millrace.lake.serving import current_serving

    now = current_serving(candidate.connection.environment, find_pipeline(pipeline))
    if now is None or now.number == since:
        return None
    if speed_stream(pipeline, now.version) != candidate.query:
        return CandidateEnd.SUPERSEDED
    running = candidate.find()
    is_taken = running is not None and not candidate.is_own(running)
    return CandidateEnd.TAKEN_OVER if is_taken else None


def code_line(environment: Environment, pipeline: str) -> str | None:
    """In words, that the code here is another version than the one that is served, and what to do; None: it is not."""
    from jobs.version import fingerprint
    from millrace.lake.serving import served_version

    found = find_pipeline(pipeline)
    served, here = served_version(environment, found), fingerprint(found)
    if served == here:
        return None
    return (
        f"pipeline {pipeline}: version {served} is served and runs on; the code here is version {here}: the DAG"
        f" `{upgrade_query(pipeline)}` brings it into service"
    )

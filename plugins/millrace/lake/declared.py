"""A pipeline as one of its versions was declared: its key, windows and topic, whatever the code here says."""

from __future__ import annotations

from jobs.declaration import read_declaration
from jobs.errors import UsageError
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.serving import served_version
from millrace.lake.store import LakeStore
from millrace.lake.text_files import TextFiles

__all__ = ["declared", "declared_served", "is_here"]


def declared(environment: Environment, pipeline: Pipeline, version: str) -> Pipeline:
    """As that version was; as the code here, where it is that version or none that the lake knows.

    `pipeline` may be as another version was declared, whose transformation is not here any more.
    """
    if is_here(pipeline, version):
        return pipeline
    return read_declaration(TextFiles(LakeStore(environment)), Lake(""), pipeline, version)


def declared_served(environment: Environment, pipeline: Pipeline) -> Pipeline:
    """As the served version was."""
    return declared(environment, pipeline, served_version(environment, pipeline))


def is_here(pipeline: Pipeline, version: str) -> bool:
    """Whether the code here is that version."""
    try:
        return fingerprint(pipeline) == version
    except UsageError:
        return False

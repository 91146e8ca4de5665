"""The version of a pipeline: a fingerprint of all that decides its answers."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import tokenize

from jobs.errors import UsageError
from jobs.pipeline import Pipeline

__all__ = ["fingerprint"]


def fingerprint(pipeline: Pipeline) -> str:
    """12 hex digits over the transformation's source (less comments), the topic's decoding, windowing and revision.

    Reads the source without importing it, so it needs no Spark. It covers the transformation's own module: raise
    `revision` after a change in a module that it imports. Raises UsageError when the source cannot be found.
    """
    topic = pipeline.topic
    parts = [
        _without_comments(_source(pipeline)),
        repr((pipeline.transform_function, pipeline.key, pipeline.row_time, pipeline.revision)),
        repr((pipeline.window, pipeline.watermark, pipeline.interval)),
        repr((topic.name, topic.fields, topic.event_time, topic.format)),
        repr((topic.max_ahead, topic.max_age, topic.max_value_bytes)),
    ]
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:12]


def _source(pipeline: Pipeline) -> str:
    try:
        spec = importlib.util.find_spec(pipeline.transform_module)
    except ModuleNotFoundError:
        spec = None
    if spec is None or spec.loader is None:
        raise UsageError(
            f"pipeline {pipeline.name!r}: transform {pipeline.transform!r} is in no module that can be found;"
            f" create {pipeline.transform_module.replace('.', '/')}.py or correct the declaration"
        )
    source = spec.loader.get_source(pipeline.transform_module)  # type: ignore[attr-defined]
    return str(source)


def _without_comments(source: str) -> str:
    """Lines without comments, trailing blanks and blank lines. Not the syntax tree: its form depends on Python's."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())

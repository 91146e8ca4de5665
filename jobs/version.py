"""The version of a pipeline: a fingerprint of all that decides its answers."""

from __future__ import annotations

import hashlib
import importlib.util
import io
import os
import pkgutil
import tokenize
from typing import List

from jobs.errors import UsageError
from jobs.pipeline import Pipeline
from jobs.sources import module_source, own_sources
from jobs.topic import Topic

__all__ = ["decoder_fingerprint", "fingerprint"]

# What a transformation may import without its answers depending on it: declarations, whose fields are covered one by
# one, and what finds them.
_NO_ANSWERS = frozenset(
    {
        "jobs",
        "jobs.alerts_topic",
        "jobs.errors",
        "jobs.pipeline",
        "jobs.pipelines",
        "jobs.topic",
        "jobs.topics",
        "jobs.transform",
    }
)


def fingerprint(pipeline: Pipeline) -> str:
    """12 hex digits over the transformation's and the decoders' source (less comments), the topic's declaration,
    windowing and revision.

    Reads the source without importing it, so it needs no Spark. Of the transformation it covers its own module and
    those that this imports from the same top-level package (see `jobs.sources`): raise `revision` after a change in
    another package that changes answers. Raises UsageError when the source cannot be found.
    """
    topic = pipeline.topic
    parts = [
        _without_comments(_source(pipeline)),
        *_imported(pipeline.transform_module),
        *map(_without_comments, decoder_sources()),
        repr((pipeline.transform_function, pipeline.key, pipeline.row_time, pipeline.revision)),
        repr((pipeline.window, pipeline.watermark, pipeline.interval)),
        repr((topic.name, topic.fields, topic.event_time, topic.format)),
        repr((topic.max_ahead, topic.max_age, topic.max_value_bytes)),
    ]
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:12]


def decoder_fingerprint(topic: Topic) -> str:
    """12 hex digits over the decoders' source (less comments) and what the topic declares of decoding: two that are
    equal make the same event, or the same dead letter, of the same record."""
    declared = (topic.fields, topic.event_time, topic.format, topic.max_ahead, topic.max_age, topic.max_value_bytes)
    parts = [*map(_without_comments, decoder_sources()), repr(declared)]
    return hashlib.sha256("\n".join(parts).encode("utf-8")).hexdigest()[:12]


def decoder_sources() -> List[str]:
    """The source of each module of `jobs.decode`, by name; in a folder or in a zip."""
    spec = importlib.util.find_spec("jobs.decode")
    folder = next(iter(spec.submodule_search_locations or []))  # type: ignore[union-attr]
    names = ["__init__", *sorted(module.name for module in pkgutil.iter_modules([folder]))]
    return [spec.loader.get_data(os.path.join(folder, f"{name}.py")).decode("utf-8") for name in names]  # type: ignore[union-attr]


def _source(pipeline: Pipeline) -> str:
    source = module_source(pipeline.transform_module)
    if source is None:
        raise UsageError(
            f"pipeline {pipeline.name!r}: transform {pipeline.transform!r} is in no module that can be found;"
            f" create {pipeline.transform_module.replace('.', '/')}.py or correct the declaration"
        )
    return source


def _imported(module: str) -> List[str]:
    """Each module with its name. One of blanks and comments alone, as most `__init__.py` are, changes nothing."""
    sources = {name: _without_comments(source) for name, source in own_sources(module, besides=_NO_ANSWERS).items()}
    return [f"{name}\n{source}" for name, source in sources.items() if source]


def _without_comments(source: str) -> str:
    """Lines without comments, trailing blanks and blank lines. Not the syntax tree: its form depends on Python's."""
    lines = source.split("\n")
    for token in tokenize.generate_tokens(io.StringIO(source).readline):
        if token.type == tokenize.COMMENT:
            row, column = token.start
            lines[row - 1] = lines[row - 1][:column]
    return "\n".join(line.rstrip() for line in lines if line.strip())

"""What a version of a pipeline was declared as: noted on the lake by its own code. No Spark import here.

Readers of a version's rows ask it, not the declaration at hand: that may be of a version with another key, other
windows, another topic.
"""

from __future__ import annotations

import json
from dataclasses import asdict, fields, replace
from datetime import timedelta
from typing import Any, Dict, Mapping, Optional, Union

from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.small_files import SmallFiles
from jobs.topic import Field, Topic
from jobs.version import decoder_fingerprint
from jobs.windows import Sessions, Sliding

__all__ = ["declaration_text", "read_declaration", "read_decoder"]

_MS = "ms"


def declaration_text(pipeline: Pipeline) -> str:
    """The declaration, topic included, as JSON: what is noted beside a version's code (see `Lake.declaration`).

    Less its alerts, which belong to no version. With the decoder that the version has, which is that of its own code.
    """
    decoder = decoder_fingerprint(pipeline.topic)
    content = {**asdict(pipeline), "window": _window(pipeline.window), "decoder": decoder}
    del content["alerts"]
    return json.dumps(content, default=lambda time: {_MS: time // timedelta(milliseconds=1)}, sort_keys=True)


def read_declaration(files: SmallFiles, lake: Lake, pipeline: Pipeline, version: str) -> Pipeline:
    """The pipeline as its version was declared; as `pipeline`, where the lake does not know that version.

    What decides no answer is that of `pipeline`: tolerances, alerts, and of the same topic its partitions and lateness.
    """
    text = files.read(lake.declaration(version))
    if not text:  # empty: a driver of an older release is about to write it
        return pipeline
    noted = _pipeline(json.loads(text))
    if noted.topic.name == pipeline.topic.name:
        here = pipeline.topic
        topic = replace(noted.topic, partitions=here.partitions, allowed_lateness=here.allowed_lateness)
        noted = replace(noted, topic=topic)
    return replace(
        noted,
        name=pipeline.name,  # two pipelines that answer alike are one version
        float_tolerance=pipeline.float_tolerance,
        max_unexplained=pipeline.max_unexplained,
        alerts=pipeline.alerts,
    )


def read_decoder(files: SmallFiles, lake: Lake, version: str) -> Optional[str]:
    """The decoder of a version, as `raw/<topic>` has it of each record; None where that was not noted."""
    text = files.read(lake.declaration(version))
    decoder: Optional[str] = json.loads(text).get("decoder") if text else None
    return decoder


def _window(window: Union[timedelta, Sliding, Sessions]) -> Any:
    return window if isinstance(window, timedelta) else {"kind": type(window).__name__, **asdict(window)}


def _pipeline(content: Dict[str, Any]) -> Pipeline:
    topic = dict(content["topic"])
    topic["fields"] = tuple(Field(**_known(Field, each)) for each in topic["fields"])
    window = content["window"]
    if "kind" in window:
        kind = {"Sliding": Sliding, "Sessions": Sessions}[window["kind"]]
        window = kind(**_known(kind, window))
    return Pipeline(**{**_known(Pipeline, content), "topic": Topic(**_known(Topic, topic)), "window": _value(window)})


def _known(declared: Any, content: Mapping[str, Any]) -> Dict[str, Any]:
    """The fields that the code here knows: a later release may have more."""
    return {field.name: _value(content[field.name]) for field in fields(declared) if field.name in content}


def _value(found: Any) -> Any:
    """JSON knows neither times nor tuples."""
    if isinstance(found, dict) and set(found) == {_MS}:
        return timedelta(milliseconds=found[_MS])
    return tuple(found) if isinstance(found, list) else found

"""What a checkpoint's state was made with, beside it: a restart that does not fit is refused, with what to do."""

from __future__ import annotations

import json
import re
from typing import Any, Dict, Iterator, Tuple

from pyspark import __version__ as engine
from pyspark.sql import DataFrame, SparkSession

from jobs.checkpoint import Checkpoint
from jobs.errors import UsageError
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.plan import plan_nodes
from jobs.topic import Topic

__all__ = ["archive_facts", "check_restart", "fit_checkpoint", "refuse_headless", "speed_facts", "write_manifest"]

Facts = Dict[str, str]

NAME = "millrace.json"
_SPARK = "Spark"
_STORE = "spark.sql.streaming.stateStore.providerClass"
_PARTITIONS = "spark.sql.shuffle.partitions"
_DECLARED = ("key", "row_time", "window", "watermark", "interval")
_OPERATOR = "stateful operator"
_STATEFUL = re.compile(
    r"Aggregate|Deduplicate\w*|Distinct|EventTimeWatermark|FlatMapGroups\w*|GlobalLimit|Join|TransformWithState\w*"
)
# What Spark numbers anew each time: a lambda's variables, expressions and watermarks. It marks streams by a tilde.
_LAMBDA = re.compile(r"(lambda \w+?)_\d+#\d+L?")
_ID = re.compile(r"#\d+L?|\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}(, )?|^~")


def archive_facts(topic: Topic) -> Facts:
    """Of an archive query, or of alerts: it has offsets and no state, and outlives every change of the declaration."""
    return {_SPARK: engine, "topic": topic.name}


def speed_facts(spark: SparkSession, pipeline: Pipeline, log: DataFrame) -> Facts:
    """Of a speed query whose output is `log`, from its analyzed plan: each fact by its name, as text."""
    topic = pipeline.topic
    fields = {field.name: f"{field.type}{'' if field.required else ' or null'}" for field in topic.fields}
    declared = {name: _text(getattr(pipeline, name, None)) for name in _DECLARED}
    return {
        **archive_facts(topic),
        _STORE: str(spark.conf.get(_STORE)),
        _PARTITIONS: str(spark.conf.get(_PARTITIONS)),
        **{f"declared {name}": value for name, value in declared.items()},
        **{f"event field {name!r}": text for name, text in fields.items()},
        **{f"output column {field.name!r}": field.dataType.simpleString() for field in log.schema.fields},
        **{f"{_OPERATOR} {number}": text for number, text in enumerate(_stateful(log), start=1)},
    }


def write_manifest(files: LakeFiles, checkpoint: str, facts: Facts) -> None:
    """Whole or not at all: a driver that is killed in between leaves none, and the next one writes it."""
    files.delete(f"{checkpoint}/{NAME}")
    files.create(f"{checkpoint}/{NAME}", json.dumps(facts, indent=1))


def fit_checkpoint(files: LakeFiles, checkpoint: str, facts: Facts) -> None:
    """For a query without state: a new checkpoint gets its manifest, another one is checked as by `check_restart`."""
    if files.exists(f"{checkpoint}/metadata"):
        check_restart(files, checkpoint, facts)
    else:
        write_manifest(files, checkpoint, facts)


def refuse_headless(files: LakeFiles, checkpoint: str, or_else: str) -> None:
    """Raises UsageError where a checkpoint that has no metadata has entries; `or_else`: what to do without a copy."""
    left = [name for name in ("offsets", "commits") if files.names(f"{checkpoint}/{name}")]
    if left:
        raise UsageError(
            f"checkpoint {checkpoint} has {' and '.join(left)}, but no metadata, which names the query; restore the"
            f" whole folder from a copy, or {or_else}"
        )


def check_restart(files: LakeFiles, checkpoint: str, facts: Facts) -> None:
    """Raises UsageError where a query with these facts must not go on from the checkpoint.

    A checkpoint without a manifest, of an older Millrace, gets one. One of an older Spark is taken over: what Spark
    itself refuses then, it refuses, and from then on the older one is refused here.
    """
    Checkpoint(files, checkpoint).check(facts["topic"])
    known = _read(files, checkpoint)
    if known is None:
        print(f"millrace: {checkpoint} has no {NAME}: it is taken as it is, and one is written", flush=True)
        write_manifest(files, checkpoint, facts)
        return
    if _release(known[_SPARK]) > _release(engine):
        raise UsageError(
            f"checkpoint {checkpoint} was last written by Spark {known[_SPARK]}, and this is Spark {engine}, which may"
            f" not read it; run Spark {known[_SPARK]} again, or raise the pipeline's `revision` to start a new version"
        )
    changes = [change for change in _changes(known, facts) if _matters(change[0], known)]
    if changes:
        raise UsageError(_refusal(checkpoint, changes))
    if known.get(_PARTITIONS) != facts.get(_PARTITIONS):
        print(
            f"millrace: {_PARTITIONS} stays {known.get(_PARTITIONS)}, with which the checkpoint's state was made;"
            f" {facts.get(_PARTITIONS)} comes with the next version",
            flush=True,
        )
    if known[_SPARK] != engine:
        write_manifest(files, checkpoint, {**facts, **{name: known[name] for name in (_PARTITIONS,) if name in known}})


def _read(files: LakeFiles, checkpoint: str) -> Any:
    text = files.read(f"{checkpoint}/{NAME}")
    if text is None:
        return None
    try:
        known = json.loads(text)
        return {_SPARK: known[_SPARK], **known}
    except (ValueError, TypeError, KeyError) as error:
        raise UsageError(
            f"{checkpoint}/{NAME} is not what Millrace wrote ({error!r}); put it back from a copy, or delete it if you"
            " know that neither code nor declaration has changed since: the next start writes it anew"
        ) from None


def _changes(known: Facts, facts: Facts) -> Iterator[Tuple[str, str, str]]:
    for name in [*known, *(name for name in facts if name not in known)]:
        before, now = known.get(name, "nothing"), facts.get(name, "nothing")
        if before != now:
            yield name, before, now


def _matters(name: str, known: Facts) -> bool:
    """Spark keeps to the partitions that its checkpoint notes. Another release may print the same plan otherwise."""
    if name.startswith(_OPERATOR):
        return _release(known[_SPARK]) == _release(engine)
    return name not in (_SPARK, _PARTITIONS)


def _refusal(checkpoint: str, changes: Any) -> str:
    told = "; ".join(f"{name} was {before} and is {now}" for name, before, now in changes)
    store = [before for name, before, _ in changes if name == _STORE]
    back = f"set {_STORE} back to {store[0]}" if store else "put back what it was"
    return (
        f"checkpoint {checkpoint} does not fit this query: {told}. Its state would be misread, or mixed with other"
        f" answers; {back}, or raise the pipeline's `revision` to start a new version from a checkpoint of its own"
    )


def _release(version: str) -> Tuple[int, ...]:
    """Major and minor: a checkpoint's form stays the same within."""
    return tuple(int(part) for part in version.split(".")[:2])


def _text(value: object) -> str:
    return ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)


def _stateful(log: DataFrame) -> Iterator[str]:
    """What decides the state: each stateful operator of the analyzed plan, from the output on, and its columns."""
    for node in plan_nodes(log):
        if _STATEFUL.fullmatch(str(node.nodeName())):
            yield f"{_plain(str(node.simpleString(10_000)))} giving {node.schema().catalogString()}"


def _plain(text: str) -> str:
    return _ID.sub("", _LAMBDA.sub(r"\1", text))

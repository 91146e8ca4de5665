"""Where a new version's speed query begins: at the first unpublished interval, in Kafka or in the raw archive."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Dict, Optional, Tuple

from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.checkpoint import Checkpoint, of_topic
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.kafka import read_stream
from jobs.lake import RAW_VERSION, Lake, archive_query
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.serving_table import preferred_versions
from jobs.tables import read_table
from jobs.topic import Topic

__all__ = ["Archived", "Start", "find_start", "note_start", "noted_options"]

_STARTED = "started.json"


@dataclass(frozen=True)
class Archived:
    """What Kafka no longer holds: of `raw_version` of the raw archive, in each partition the offsets [began, until)."""

    raw_version: int
    began: Dict[int, int]
    until: Dict[int, int]


@dataclass(frozen=True)
class Start:
    """`options` for reading Kafka. With `archived`, that comes first, and `kafka` is where Kafka goes on after it.

    `whole_from`: where the first unpublished interval begins, from which on answers are whole; None: all are.
    """

    options: Dict[str, str]
    archived: Optional[Archived] = None
    kafka: Optional[Dict[int, int]] = None
    whole_from: Optional[datetime] = None


def find_start(spark: SparkSession, pipeline: Pipeline, lake: Lake, version: str, bootstrap: str, probe: str) -> Start:
    """Where a version without a checkpoint begins. `probe`: a folder on the lake for the while.

    That is with the first record whose Kafka timestamp lies in the first unpublished interval, or before it by no more
    than an event may be ahead of its Kafka timestamp; with the earliest where nothing is published. Raises UsageError
    where the archive has partitions that Kafka has not.
    """
    files, topic = LakeFiles(spark), pipeline.topic
    first = _first_unpublished(spark, files, lake, pipeline, version)
    # An event may be this much ahead of its Kafka timestamp. Rows of earlier intervals do no harm: they are published.
    since = None if first is None else pipeline.reads(first).start - topic.max_ahead
    start = _find_start(spark, files, lake, topic, bootstrap, probe, since)
    return start if first is None else replace(start, whole_from=first.start)


def note_start(files: LakeFiles, checkpoint: str, start: Start) -> None:
    """Beside the checkpoint. What the version has of earlier intervals is only what came late for them."""
    since = start.whole_from and start.whole_from.isoformat()
    files.replace(f"{checkpoint}/{_STARTED}", json.dumps({"whole_from": since, "options": start.options}))


def noted_options(files: LakeFiles, checkpoint: str) -> Dict[str, str]:
    """`Start.options` as the checkpoint's first driver noted them; none, where an older Millrace did.

    Spark notes offsets of its own only once Kafka has answered: a query that is started again before that would begin
    where Kafka ends. Later it asks for nothing.
    """
    noted: Dict[str, Any] = json.loads(files.read(f"{checkpoint}/{_STARTED}") or "{}")
    return dict(noted.get("options") or {})


def _find_start(
    spark: SparkSession,
    files: LakeFiles,
    lake: Lake,
    topic: Topic,
    bootstrap: str,
    probe: str,
    since: Optional[datetime],
) -> Start:
    options = _options(since)
    archived = _archived(spark, files, lake, topic, since)
    if archived is None:
        return Start(options)
    held = _held(spark, topic, bootstrap, options, probe)
    unknown = sorted(set(archived.began) - set(held))
    if unknown:
        raise UsageError(
            f"topic {topic.name!r}: the raw archive has records of partition {unknown[0]}, which Kafka has not; the"
            " topic was made anew with fewer partitions: add partitions"
        )
    if all(held[partition] <= first for partition, first in archived.began.items()):
        # Said in offsets: what retention deletes from now on is missed with an error, not silently.
        return Start({"startingOffsets": json.dumps({topic.name: held})})
    kafka = {
        partition: archived.until[partition] if partition in archived.began else first
        for partition, first in held.items()
    }
    return Start({"startingOffsets": json.dumps({topic.name: kafka})}, archived, kafka)


def _first_unpublished(
    spark: SparkSession, files: LakeFiles, lake: Lake, pipeline: Pipeline, version: str
) -> Optional[Interval]:
    """The one after those that are published in a row, from the oldest on; None: nothing is published.

    What versions have published that do not serve does not count: an upgrade that was withdrawn leaves that.
    """
    if not files.is_table(lake.published):
        return None
    serve = {version, *preferred_versions(spark, lake, pipeline.name)}
    mine = read_table(spark, lake.published).where(F.col("pipeline") == pipeline.name)
    published = {row["_interval"] for row in mine.select("_interval", "version").collect() if row["version"] in serve}
    if not published:
        return None
    interval = Interval.parse(min(published), pipeline.interval)
    while interval.id in published:
        interval = interval.following()
    return interval


def _options(since: Optional[datetime]) -> Dict[str, str]:
    if since is None:
        return {"startingOffsets": "earliest"}
    return {
        "startingTimestamp": str(int(since.timestamp() * 1000)),
        "startingOffsetsByTimestampStrategy": "latest",
    }


def _archived(
    spark: SparkSession, files: LakeFiles, lake: Lake, topic: Topic, since: Optional[datetime]
) -> Optional[Archived]:
    """What the archive holds from then on; None where it holds nothing."""
    uri = lake.raw(topic.name)
    if not files.is_table(uri):
        return None
    raw_version, until = _coverage(spark, files, lake, topic)
    raw = read_table(spark, uri, raw_version)
    later = raw if since is None else raw.where(F.col("timestamp") >= F.lit(since))
    began = _by_partition(later, F.min("offset"))
    if not began:
        return None
    until = until or {partition: last + 1 for partition, last in _by_partition(raw, F.max("offset")).items()}
    return Archived(raw_version, began, until)


def _coverage(spark: SparkSession, files: LakeFiles, lake: Lake, topic: Topic) -> Tuple[int, Dict[int, int]]:
    """The raw table's newest version, and below which offsets it is whole: from the archive's own commits (decision 2).

    No offsets where neither the table nor the archive's checkpoint remembers.
    """
    checkpoint = Checkpoint(files, lake.checkpoint(archive_query(topic.name), RAW_VERSION))
    commits = spark.sql(f"DESCRIBE HISTORY delta.`{lake.raw(topic.name)}`")
    # In ANSI mode Spark 3.3 fails on a key that a map lacks.
    query, batch = (F.expr(f"try_element_at(operationParameters, '{name}')") for name in ("queryId", "epochId"))
    mine = F.when(query == F.lit(checkpoint.query_id()), batch.cast("long"))
    raw_version, newest = commits.agg(F.max("version"), F.max(mine)).collect()[0]
    planned = None if newest is None else checkpoint.planned(newest)
    return raw_version, of_topic(planned.end_offsets, topic.name) if planned else {}


def _by_partition(raw: DataFrame, offset: Any) -> Dict[int, int]:
    return {row[0]: row[1] for row in raw.groupBy("partition").agg(offset).collect()}


def _held(spark: SparkSession, topic: Topic, bootstrap: str, options: Dict[str, str], probe: str) -> Dict[int, int]:
    """Per partition the first offset that Kafka would give: what a query notes that begins there.

    Spark's own answer, by what it documents: a driver has no other client of Kafka that is the same on every platform.
    """
    files = LakeFiles(spark)
    files.delete_folder(probe)
    records = read_stream(spark, topic, bootstrap, {**options, "maxOffsetsPerTrigger": "1"})
    asked = Checkpoint(files, probe)
    writer = records.writeStream.format("noop").option("checkpointLocation", probe)
    query = writer.trigger(processingTime="1 hour").start()
    try:
        while asked.first_offsets() is None and query.isActive:
            time.sleep(0.1)
    finally:
        query.stop()
    begins, error = asked.first_offsets(), query.exception()
    if begins is None and error is not None:  # with an answer, it is the error of having been stopped
        raise error
    files.delete_folder(probe)
    return of_topic(begins, topic.name)

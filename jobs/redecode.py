"""Dead letters, decoded again: those that a corrected decoder can read move into their days, in one commit."""

from __future__ import annotations

import random
import time
import uuid
from typing import Any, Dict

from py4j.java_gateway import is_instance_of
from py4j.protocol import Py4JJavaError
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.archive import event_date
from jobs.decode import decode
from jobs.errors import MillraceError, UsageError
from jobs.heartbeat import held
from jobs.lake import Lake, archive_query, redecode_query
from jobs.lake_files import LakeFiles
from jobs.lock import QueryLock
from jobs.tables import read_table
from jobs.topic import Topic
from jobs.version import decoder_fingerprint

__all__ = ["redecode"]

# The archive may add a dead letter with every micro-batch, and each one that lands during the commit costs an attempt.
ATTEMPTS = 20
# One row of the archive: an offset alone may come again when a topic is deleted and made anew.
_KEY = ("topic", "partition", "offset", "archived_at")
_DECODED = ("event", "error", "event_date", "redecoded_at", "decoder")


def redecode(spark: SparkSession, topic: Topic, lake: Lake, run: str) -> Dict[str, Any]:
    """Decodes the topic's dead letters again, from their bytes, with the declaration as it is now.

    A record that decodes gets its `event`, its `event_date` and `redecoded_at`; one that fails for another reason gets
    that `error`; all get this `decoder`. All other columns stay as they are, and what the archive appends meanwhile
    too. `run` names the lock's owner. Returns `examined`, `moved`, `still_dead`, `changed_reason` and `days` (day ->
    moved).

    Raises LockHeldError while the topic is being redecoded, UsageError when the archive does not fit the declaration,
    and MillraceError when others kept committing.
    """
    uri, query = lake.raw(topic.name), redecode_query(topic.name)
    _check(spark, topic, uri)
    with held(QueryLock(LakeFiles(spark), lake.lock(query), query, run)):
        for attempt in range(1, ATTEMPTS + 1):
            try:
                return _redecode(spark, topic, uri)
            except Py4JJavaError as error:
                if not _is_conflict(spark, error):
                    raise
                _pause(attempt, error)
    raise MillraceError(
        f"topic {topic.name!r}: {ATTEMPTS} attempts to redecode met a commit of another writer, nothing was changed;"
        f" run it again when fewer dead letters arrive, or while {archive_query(topic.name)!r} is stopped"
    )


def _redecode(spark: SparkSession, topic: Topic, uri: str) -> Dict[str, Any]:
    # Kept aside, so that decoding takes no time between the commit's reading and its writing.
    decoded = _decoded(read_table(spark, uri), topic).localCheckpoint()
    sums = (F.sum(F.col(name).cast("long")).alias(name) for name in ("_is_changed", "_is_written"))
    counted = decoded.groupBy("event_date").agg(F.count("*").alias("found"), *sums).collect()
    days = {str(row["event_date"]): row["found"] for row in counted if row["event_date"] is not None}
    dead = [row for row in counted if row["event_date"] is None]
    if any(row["_is_written"] for row in counted):
        _merge(spark, decoded.where("_is_written"), uri)
    return {
        "examined": sum(row["found"] for row in counted),
        "moved": sum(days.values()),
        "still_dead": sum(row["found"] for row in dead),
        "changed_reason": sum(row["_is_changed"] for row in dead),
        "days": dict(sorted(days.items())),
    }


def _decoded(raw: DataFrame, topic: Topic) -> DataFrame:
    """What each dead letter becomes now. `_is_changed`: whether that differs from what the archive says. `_is_written`:
    also where it was another decoder that said the same, so that no run of this one looks at the bytes again."""
    before = (F.col("error").alias("_error"), F.col("decoder").alias("_decoder"))
    dead = raw.where(F.col("event_date").isNull()).select(*_KEY, "value", "timestamp", *before)
    is_changed = ~F.col("error").eqNullSafe(F.col("_error"))
    own = decoder_fingerprint(topic)
    return decode(dead, topic).select(
        *_KEY,
        "event",
        "error",
        event_date(topic).alias("event_date"),
        F.when(F.col("error").isNull(), F.current_timestamp()).alias("redecoded_at"),
        F.lit(own).alias("decoder"),
        is_changed.alias("_is_changed"),
        (is_changed | ~F.col("_decoder").eqNullSafe(F.lit(own))).alias("_is_written"),
    )


def _merge(spark: SparkSession, changes: DataFrame, uri: str) -> None:
    """One commit, or none. It reads the partition of the dead letters alone: appends to the days are no conflict."""
    name = f"redecoded_{uuid.uuid4().hex}"
    changes.createOrReplaceTempView(name)
    same_row = " AND ".join(f"archived.`{column}` = decoded.`{column}`" for column in _KEY)
    updates = ", ".join(f"{column} = decoded.{column}" for column in _DECODED)
    try:
        spark.sql(
            f"MERGE INTO delta.`{uri}` AS archived USING {name} AS decoded"
            f" ON archived.event_date IS NULL AND {same_row} WHEN MATCHED THEN UPDATE SET {updates}"
        )
    finally:
        spark.catalog.dropTempView(name)


def _check(spark: SparkSession, topic: Topic, uri: str) -> None:
    thing = f"topic {topic.name!r}"
    if not LakeFiles(spark).is_table(uri):
        raise UsageError(f"{thing}: {uri} has no raw archive yet; start the DAG {archive_query(topic.name)!r} first")
    raw = read_table(spark, uri)
    lacking = [column for column in _DECODED if column not in raw.columns]
    if lacking:
        raise UsageError(
            f"{thing}: {uri} has no column {lacking[0]!r}, an older Millrace made it; restart the DAG"
            f" {archive_query(topic.name)!r}, whose next micro-batch adds it"
        )
    held_type = raw.schema["event"].dataType.simpleString()
    new_type = decode(raw.select("value", "timestamp"), topic).schema["event"].dataType.simpleString()
    if held_type != new_type:
        raise UsageError(
            f"{thing}: its fields are declared as {new_type}, but the archive's events are {held_type}; redecoding"
            " needs the archive's fields in their order: declare those, or archive the topic anew"
        )


def _is_conflict(spark: SparkSession, error: Py4JJavaError) -> bool:
    """Whether Delta refused the commit for one that came between; nothing is written then."""
    gateway = spark.sparkContext._gateway
    return bool(is_instance_of(gateway, error.java_exception, "java.util.ConcurrentModificationException"))


def _pause(attempt: int, error: Py4JJavaError) -> None:
    reason = str(error.java_exception.getClass().getSimpleName())
    print(f"millrace: redecode: attempt {attempt} of {ATTEMPTS} met another commit ({reason})", flush=True)
    time.sleep(random.uniform(0, min(attempt, 5)))

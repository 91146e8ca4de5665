"""The events of an interval in the raw archive, as a version's own decoder reads them: see decision 25."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from typing import Optional

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.archive import event_date
from jobs.decode import decode
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.pipeline import Pipeline
from jobs.topic import Topic
from jobs.version import decoder_fingerprint

__all__ = ["IntervalEvents", "in_days", "read_events"]

_COLUMNS = ("event", "partition", "offset", "redecoded_at")


@dataclass(frozen=True)
class IntervalEvents:
    """`rows`: `event`, `partition`, `offset` and `redecoded_at` of each event.

    `archived`: how many events the archive's own readings place in the same time; None where the archive's decoder is
    the version's, and it is as many as there are rows.
    """

    rows: DataFrame
    archived: Optional[int] = None


def read_events(raw: DataFrame, pipeline: Pipeline, interval: Interval) -> IntervalEvents:
    """What the interval's rows are made of (see `Pipeline.reads`): typed columns of its days alone, no JSON.

    Records that the archive has by another decoder than the version's are decoded anew, from their bytes: those of the
    same days, and dead letters. One that the version cannot decode, and that was redecoded, is what it was redecoded
    to: a person asked for that. Raises UsageError where decoding moves one to another day, for the archive finds
    records by the day that it gave them.
    """
    topic, reads = pipeline.topic, pipeline.reads(interval)
    _check_event_time(raw, topic)
    if "decoder" not in raw.columns:  # an older Millrace made it
        raw = raw.withColumn("decoder", F.lit(None).cast("string"))
    is_own = F.col("decoder") == decoder_fingerprint(topic)
    inside = _within(F.col(f"event.{topic.event_time}"), reads)
    others = raw.where(~F.coalesce(is_own, F.lit(False)) & (in_days(reads) | _dead_in_reach(topic, reads)))
    own = raw.where(in_days(reads) & is_own & inside).withColumn("event", _as_declared(raw, "event", topic))
    own = own.select(*_COLUMNS)
    if not others.select("partition").head(1):
        return IntervalEvents(own)
    anew = _decoded_anew(others, topic)
    _check_days(anew, pipeline, interval)
    rows = own.unionByName(anew.where(inside).select(*_COLUMNS))
    return IntervalEvents(rows, raw.where(in_days(reads) & inside).count())


def in_days(reads: Interval) -> Column:
    """Whether the archive has a row in one of the days that are read."""
    last_day = (reads.end - timedelta(microseconds=1)).date()
    return F.col("event_date").between(F.lit(reads.start.date()), F.lit(last_day))


def _within(moment: Column, span: Interval) -> Column:
    return (moment >= F.lit(span.start)) & (moment < F.lit(span.end))


def _dead_in_reach(topic: Topic, reads: Interval) -> Column:
    """Whether a row is a dead letter that may hold an event of that time: see `max_ahead` and `max_age`."""
    arrived = Interval(reads.start - topic.max_ahead, reads.end + topic.max_age)
    return F.col("event_date").isNull() & _within(F.col("timestamp"), arrived)


def _decoded_anew(others: DataFrame, topic: Topic) -> DataFrame:
    """Events alone, with `_day`, which the archive gave them; null for what was a dead letter."""
    before = F.when(F.col("redecoded_at").isNotNull(), F.col("event")).alias("_redecoded")
    kept = ("value", "timestamp", "partition", "offset", "redecoded_at", F.col("event_date").alias("_day"), before)
    decoded = decode(others.select(*kept), topic)
    redecoded = F.when(F.col("_redecoded").isNotNull(), _as_declared(decoded, "_redecoded", topic))
    return decoded.withColumn("event", F.coalesce("event", redecoded)).where("event is not null")


def _check_event_time(raw: DataFrame, topic: Topic) -> None:
    held = raw.schema["event"].dataType.fieldNames()  # type: ignore[attr-defined]
    if topic.event_time not in held:
        raise UsageError(
            f"topic {topic.name!r}: its event time is {topic.event_time!r}, which the archive's events lack (they"
            f" have {', '.join(held)}): their days are of another time; give the topic another name and archive it anew"
        )


def _check_days(anew: DataFrame, pipeline: Pipeline, interval: Interval) -> None:
    topic = pipeline.topic
    moved = anew.where(event_date(topic) != F.col("_day")).select("partition", "offset").head(1)
    if moved:
        raise UsageError(
            f"pipeline {pipeline.name!r}, interval {interval.id}: the decoder of this version places the record at"
            f" offset {moved[0]['offset']} of partition {moved[0]['partition']} of {topic.name!r} in another day than"
            " the archive's did, which finds records by their day; give the topic another name and archive it anew,"
            " or leave the reading of the event time as it was"
        )


def _as_declared(rows: DataFrame, column: str, topic: Topic) -> Column:
    """An event of the archive with the fields that the topic declares here: the archive's have those of every
    declaration so far, and may lack new ones."""
    held = rows.schema[column].dataType.fieldNames()  # type: ignore[attr-defined]

    def value(name: str) -> Column:
        return F.col(f"{column}.{name}") if name in held else F.lit(None)

    return F.struct(*(value(field.name).cast(field.type).alias(field.name) for field in topic.fields))

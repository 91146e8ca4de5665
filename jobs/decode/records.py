"""Decoding a topic's records, whatever its format."""

from __future__ import annotations

from typing import Callable, Dict

from pyspark.sql import Column, DataFrame
from pyspark.sql import functions as F

from jobs.decode.json_values import decode_json
from jobs.decode.once import computed_once
from jobs.topic import Topic

# A decoder reads `_bytes` (null where a value is missing or too long) and adds `_event` and `_fault`: of bytes, one of
# them is null. Whether the bytes are text is for the decoder to say: those of Avro and Protobuf are not. An entry here
# and the name in jobs.topic.FORMATS are all that a further format needs.
DECODERS: Dict[str, Callable[[DataFrame, Topic], DataFrame]] = {"json": decode_json}


def decode(records: DataFrame, topic: Topic) -> DataFrame:
    """Adds `event` (the topic's typed struct) and `error` (why there is none) to Kafka records.

    Exactly one of the two is null in each row. `records` holds at least `value` (binary) and `timestamp`; every column
    of it is kept. An error reads `reason` or `reason: detail`. No record raises.
    """
    read = records.withColumn("_unreadable", _unreadable(topic))
    read = read.withColumn("_bytes", F.when(F.col("_unreadable").isNull(), F.col("value")))
    decoded = DECODERS[topic.format](read, topic)
    error = F.coalesce("_unreadable", "_fault", _out_of_bounds(topic))
    return (
        computed_once(decoded, "error", error)
        .withColumn("event", F.when(F.col("error").isNull(), F.col("_event")))
        .select(*records.columns, "event", "error")
    )


def _unreadable(topic: Topic) -> Column:
    size = F.expr("octet_length(value)")
    too_long = F.format_string(f"value too long: %d bytes, the topic allows {topic.max_value_bytes}", size)
    return F.when(F.col("value").isNull(), F.lit("null value")).when(size > topic.max_value_bytes, too_long)


def _out_of_bounds(topic: Topic) -> Column:
    event_time = F.col(f"_event.{topic.event_time}")
    ahead = F.expr(f"timestamp + INTERVAL {int(topic.max_ahead.total_seconds())} SECONDS")
    aged = F.expr(f"timestamp - INTERVAL {int(topic.max_age.total_seconds())} SECONDS")
    found = F.concat(F.lit(f"event time out of bounds: {topic.event_time} "), event_time.cast("string"))
    return F.when((event_time > ahead) | (event_time < aged), found)

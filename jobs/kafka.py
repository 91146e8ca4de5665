"""Reading a topic from Kafka, and writing one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Dict, Mapping

from pyspark.sql import DataFrame, SparkSession

from jobs.connection import kafka_options
from jobs.topic import Topic

if TYPE_CHECKING:
    from pyspark.sql.streaming.readwriter import DataStreamWriter

__all__ = ["client_options", "read_stream", "write_stream"]

# For how long a broker may keep a request for records when there are none (500 by default). Spark's consumer asks for
# more as soon as it has what it asked for, then asks on the same connection where the topic ends, and is answered in
# order: every micro-batch that reads to the end of a topic waited that long.
_LONGEST_WAIT_MS = "10"


def read_stream(spark: SparkSession, topic: Topic, bootstrap: str, starting: Mapping[str, str]) -> DataFrame:
    """The topic's records with headers, from where `starting` says when there is no checkpoint yet.

    A hole in the offsets stops the query (`failOnDataLoss`); records of aborted transactions are not read.
    """
    return (
        spark.readStream.format("kafka")
        .options(**client_options(spark, bootstrap))
        .option("kafka.isolation.level", "read_committed")
        .option("kafka.fetch.max.wait.ms", _LONGEST_WAIT_MS)
        .option("subscribe", topic.name)
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .options(**starting)
        .load()
    )


def write_stream(spark: SparkSession, records: DataFrame, topic: str, bootstrap: str) -> DataStreamWriter:
    """A query that appends `records` (`key`, `value`) to the topic: each at least once, some perhaps more often."""
    return records.writeStream.format("kafka").options(**client_options(spark, bootstrap)).option("topic", topic)


def client_options(spark: SparkSession, bootstrap: str) -> Dict[str, str]:
    """Where the brokers are, and how to get in."""
    settings = {**kafka_options(spark), "bootstrap.servers": bootstrap}
    return {f"kafka.{name}": value for name, value in settings.items()}

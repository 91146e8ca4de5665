"""Reading a topic from Kafka."""

from __future__ import annotations

from typing import Mapping

from pyspark.sql import DataFrame, SparkSession

from jobs.connection import kafka_options
from jobs.topic import Topic

__all__ = ["read_stream"]

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
        .options(**{f"kafka.{name}": value for name, value in kafka_options(spark).items()})
        .option("kafka.bootstrap.servers", bootstrap)
        .option("kafka.isolation.level", "read_committed")
        .option("kafka.fetch.max.wait.ms", _LONGEST_WAIT_MS)
        .option("subscribe", topic.name)
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .options(**starting)
        .load()
    )

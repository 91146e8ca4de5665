"""Reading a topic from Kafka."""

from __future__ import annotations

from typing import Mapping

from pyspark.sql import DataFrame, SparkSession

from jobs.connection import kafka_options
from jobs.topic import Topic

__all__ = ["read_stream"]


def read_stream(spark: SparkSession, topic: Topic, bootstrap: str, starting: Mapping[str, str]) -> DataFrame:
    """The topic's records with headers, from where `starting` says when there is no checkpoint yet.

    A hole in the offsets stops the query (`failOnDataLoss`); records of aborted transactions are not read.
    """
    return (
        spark.readStream.format("kafka")
        .options(**{f"kafka.{name}": value for name, value in kafka_options(spark).items()})
        .option("kafka.bootstrap.servers", bootstrap)
        .option("kafka.isolation.level", "read_committed")
        .option("subscribe", topic.name)
        .option("includeHeaders", "true")
        .option("failOnDataLoss", "true")
        .options(**starting)
        .load()
    )

"""What a driver does, on a few records and on disk: `millrace.stack.spark_classes` has Java archive what it loads."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import Any

from pyspark.sql import DataFrame, SparkSession

from jobs.archive import to_raw
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.layers import transform_events
from jobs.pipelines.stock_high_low.pipeline import stock_high_low as PIPELINE
from jobs.reprocess import reprocess
from jobs.session import start_session, stop_session

_NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
_RECORD = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, topic string, partition int,"
    " offset long, timestamp timestamp, timestampType int"
)
_VALUES = (
    b'{"symbol":"A","event_time":"2026-11-20T12:00:00Z","price":1.5,"volume":1}',
    b'{"symbol":"B","event_time":"2026-11-20T12:01:00Z","price":2.5,"volume":1}',
    b"garbage",
)
# Of the clients of Kafka and of the storage, for neither is there to be asked.
_CLASSES = (
    "org.apache.spark.sql.kafka010.KafkaMicroBatchStream",
    "org.apache.spark.sql.kafka010.consumer.KafkaDataConsumer",
    "org.apache.kafka.clients.consumer.internals.ClassicKafkaConsumer",
    "org.apache.hadoop.fs.azurebfs.services.AbfsBlobClient",
    "org.apache.hadoop.fs.azurebfs.services.AbfsInputStream",
    "org.apache.hadoop.fs.azurebfs.services.AbfsOutputStream",
)


def main(folder: str) -> None:
    spark, lake = start_session("classes"), Lake(f"file://{folder}/lake")
    try:
        _archive(spark, lake)
        reprocess(spark, PIPELINE, Interval.of(_NOON, PIPELINE.interval), lake, "run", "v1", 0, {0: 9})
        _stream(spark, lake, folder)
        _clients(spark)
    finally:
        stop_session()


def _archive(spark: SparkSession, lake: Lake) -> None:
    rows = [(b"k", bytearray(value), None, "stock_ticks", 0, at, _NOON, 0) for at, value in enumerate(_VALUES)]
    raw = to_raw(spark.createDataFrame(rows, _RECORD), PIPELINE.topic)
    raw.write.format("delta").partitionBy("event_date").save(lake.raw(PIPELINE.topic.name))


def _stream(spark: SparkSession, lake: Lake, folder: str) -> None:
    records = spark.readStream.format("delta").load(lake.raw(PIPELINE.topic.name))

    def append(rows: DataFrame, batch_id: int) -> None:
        rows.write.format("delta").mode("append").save(f"{folder}/speed")

    query = (
        transform_events(records, PIPELINE)
        .writeStream.outputMode("update")
        .option("checkpointLocation", f"{folder}/checkpoint")
        .foreachBatch(append)
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()


def _clients(spark: SparkSession) -> None:
    java: Any = spark.sparkContext._jvm
    settings = java.java.util.HashMap()
    settings.put("bootstrap.servers", "127.0.0.1:9")
    java.org.apache.kafka.clients.admin.AdminClient.create(settings).close()
    loader = java.java.lang.Thread.currentThread().getContextClassLoader()
    for name in _CLASSES:
        java.java.lang.Class.forName(name, True, loader)


if __name__ == "__main__":
    main(sys.argv[1])

"""The ledger of an archive that Spark's own query wrote: its commits and its checkpoint are what the ledger reads."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import TYPE_CHECKING

from jobs.archive import start_archive
from jobs.lake import Lake
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.ledger import update_ledger
from tests.plugins.lake.ledger.kafka_records import create_topic, delete_records, send, send_transaction
from tests.plugins.lake.ledger.raw_rows import new_topic

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def test_a_real_archive_is_accounted_for_to_its_last_offset(
    spark: SparkSession, lake: Lake, environment: Environment, kafka: str
) -> None:
    topic = replace(stock_ticks, name=new_topic(), partitions=1)
    create_topic(kafka, topic.name)
    send(kafka, topic.name, 5)
    delete_records(kafka, topic.name, before=2)
    query = start_archive(spark, topic, lake, kafka, timedelta(0))
    try:
        query.processAllAvailable()
        send_transaction(kafka, topic.name, 2, commit=True)  # 5 and 6, marker 7
        send_transaction(kafka, topic.name, 1, commit=False)  # 8, marker 9 at the end
        query.processAllAvailable()
    finally:
        query.stop()
    report = update_ledger(replace(environment, lake=lake.root), topic.name)
    assert [(entry.kind, entry.start, entry.end) for entry in report.ledger.entries] == [
        ("before the archive", 0, 2),
        ("archived", 2, 7),
        ("transaction markers", 7, 8),
        ("aborted transaction", 8, 9),
        ("transaction markers", 9, 10),
    ]
    assert report.ledger.source.begin == {0: 2}
    assert report.ledger.is_complete
    assert report.lag(0) == 0

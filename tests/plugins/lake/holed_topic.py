"""A real Kafka topic of which a stream has yet to read what Kafka has deleted."""

from __future__ import annotations

from dataclasses import replace

from jobs.topic import Topic
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.store import LakeStore
from tests.plugins.lake.ledger.kafka_records import create_topic, delete_records, send
from tests.plugins.lake.ledger.raw_rows import archive, new_topic, write_checkpoint

__all__ = ["topic_with_a_hole"]


def topic_with_a_hole(environment: Environment) -> Topic:
    """Ten records; the archive has 0 to 3 and would go on at 4, and Kafka begins at 6."""
    found, kafka = replace(stock_ticks, name=new_topic()), environment.kafka_bootstrap
    create_topic(kafka, found.name, retention_ms="86400000")
    send(kafka, found.name, 10)
    write_checkpoint(environment, found.name, first={0: 0}, ends={0: 4})
    LakeStore(environment).write(f"checkpoints/archive__{found.name}/1/commits/0", b'v1\n{"nextBatchWatermarkMs":0}')
    archive(environment, found.name, range(4), batch=0)
    delete_records(kafka, found.name, before=6)
    return found

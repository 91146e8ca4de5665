"""A real Kafka topic with a raw archive as Spark leaves it: commits with the query's transactions, offsets planned."""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
from confluent_kafka import Producer
from deltalake import CommitProperties, Transaction, write_deltalake

from jobs.interval import Interval
from jobs.lake import RAW_VERSION, Lake, archive_query
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.certificate import Claim
from millrace.lake.ledger.kafka_topic import ask_kafka
from millrace.lake.store import LakeStore
from millrace.stack.topics import ensure_topic
from tests.plugins.lake.archive_rows import RAW_SCHEMA, dead_letter
from tests.plugins.lake.ledger.kafka_records import delete_topic

__all__ = ["ArchivedTopic", "ended", "ending"]

PARTITIONS = 2


def ended(ago: timedelta) -> Interval:
    """An hour that ended that long ago."""
    end = datetime.now(UTC) - ago
    return Interval(end - timedelta(hours=1), end)


def ending(after: timedelta) -> Interval:
    """An hour that ends after that long."""
    return ended(-after)


class ArchivedTopic:
    """A topic of its own, of two partitions, which allows its records to be late by `lateness`."""

    def __init__(self, environment: Environment, lateness: timedelta = timedelta(0)) -> None:
        self.environment = environment
        self.topic = replace(stock_ticks, name=f"ticks_{uuid.uuid4().hex[:12]}", allowed_lateness=lateness)
        self._query, self._batch = uuid.uuid4().hex, -1
        self.archived = [0] * PARTITIONS
        """The offset per partition below which all is archived."""
        ensure_topic(environment, self.topic.name, PARTITIONS)

    def claim(self, interval: Interval) -> Claim:
        """That the archive holds all of this interval."""
        return Claim(self.environment, self.topic, interval)

    def produce(self, count: int, partition: int = 0) -> None:
        """Records without a meaning: a certificate is about offsets."""
        producer = Producer({"bootstrap.servers": self.environment.kafka_bootstrap})
        for _ in range(count):
            producer.produce(self.topic.name, b"record", partition=partition)
        assert producer.flush(10) == 0

    def archive(self, *offsets: int) -> None:
        """One more micro-batch, which ends at these offsets, one per partition, and has all records up to there."""
        self._batch += 1
        store = LakeStore(self.environment)
        checkpoint = Lake("").checkpoint(archive_query(self.topic.name), RAW_VERSION)
        store.write_json(f"{checkpoint}/metadata", {"id": self._query})
        ends = {self.topic.name: {str(partition): offset for partition, offset in enumerate(offsets)}}
        store.write(f"{checkpoint}/offsets/{self._batch}", f"v1\n{{}}\n{json.dumps(ends)}".encode())
        write_deltalake(
            Lake(self.environment.lake).raw(self.topic.name),
            pa.Table.from_pylist(list(self._new(offsets)), schema=RAW_SCHEMA),
            mode="append",
            partition_by=["event_date"],
            commit_properties=CommitProperties(app_transactions=[Transaction(self._query, self._batch)]),
            storage_options=self.environment.delta_options(),
        )

    def note_id(self) -> None:
        """As the archive's driver does at its first start."""
        topic_id = ask_kafka(self.environment, self.topic.name).facts.topic_id
        checkpoint = Lake("").checkpoint(archive_query(self.topic.name), RAW_VERSION)
        LakeStore(self.environment).write_json(f"{checkpoint}/topic.json", {"topic_id": topic_id})

    def recreate(self) -> None:
        """Deleted and made anew, with all that it held gone."""
        delete_topic(self.environment.kafka_bootstrap, self.topic.name)
        ensure_topic(self.environment, self.topic.name, PARTITIONS)

    def skip(self, *offsets: int) -> None:
        """The next micro-batch begins at these offsets, whatever is below them."""
        self.archived = list(offsets)

    def _new(self, offsets: Sequence[int]) -> Iterator[dict[str, Any]]:
        for partition, end in enumerate(offsets):
            for offset in range(self.archived[partition], end):
                yield dead_letter(offset, b"record", "not JSON", partition=partition)
        self.archived = list(offsets)

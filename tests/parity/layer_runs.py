"""Running the real layers over a topic of a test's own, as drivers do, but one micro-batch at a time."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

from confluent_kafka import KafkaError, Message, Producer
from deltalake import DeltaTable
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming.query import StreamingQuery

from jobs.archive import start_archive
from jobs.checkpoint import Checkpoint
from jobs.driver import note_declaration
from jobs.interval import Interval
from jobs.lake import Lake, speed_query, speed_stream
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.progress import ProgressJournal
from jobs.reprocess import reprocess
from jobs.speed import newest_rows, start_speed
from jobs.tables import read_table
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.stack.topics import ensure_topic
from tests.oracle.arrivals import Arrival
from tests.oracle.high_low import HighLow, Key
from tests.oracle.ticks import Sent
from tests.plugins.lake.ledger.kafka_records import delete_topic

VERSION = "v1"
_OFTEN = timedelta(milliseconds=50)


class LayerRuns:
    """`stock_high_low` on a fresh topic and a fresh lake."""

    def __init__(self, spark: SparkSession, environment: Environment, lake: Lake) -> None:
        topic = dataclasses.replace(stock_ticks, name=f"ticks_{uuid.uuid4().hex[:12]}")
        ensure_topic(environment, topic.name, topic.partitions)
        self.pipeline: Pipeline = dataclasses.replace(stock_high_low, topic=topic)
        self.lake = lake
        self._spark = spark
        self._environment = environment
        self._kafka = environment.kafka_bootstrap
        self._producer = self._new_producer()

    def recreate_topic(self) -> None:
        """Deletes the topic, and makes another of its name.

        The producer is another one too: had it looked for the topic in between, it would refuse every record at once.
        """
        name = self.pipeline.topic.name
        delete_topic(self._kafka, name)
        ensure_topic(self._environment, name, self.pipeline.topic.partitions)
        self._producer = self._new_producer()

    def use(self, pipeline: Pipeline) -> None:
        """Runs this pipeline from now on, on the same topic."""
        self.pipeline = dataclasses.replace(pipeline, topic=self.pipeline.topic)

    def stream(
        self, batches: Sequence[Sequence[Arrival]], version: str = VERSION, journaled: bool = True
    ) -> list[Sent]:
        """Sends the batches, each after the speed layer has processed the one before; what Kafka holds then.

        A speed query of this version starts before them, or goes on where it stopped, and stops after them.
        Not `journaled`: as a driver leaves it that is killed before it writes its journal.
        """
        files, stream = LakeFiles(self._spark), speed_stream(self.pipeline.name, version)
        checkpoint = self.lake.checkpoint(speed_query(self.pipeline.name), version)
        journal = ProgressJournal(files, self.lake, stream, Checkpoint(files, checkpoint))
        journal.recover()
        speed = self.start(version)
        sent: list[Sent] = []
        try:
            for batch in batches:
                sent += self.produce(batch)
                speed.processAllAvailable()
            speed.processAllAvailable()
        finally:
            speed.stop()
        if journaled:
            journal.write(speed)
        return sent

    def _new_producer(self) -> Producer:
        # All of a partition goes in one request, so that no micro-batch reads a part of it: `flush` ends the wait.
        return Producer(
            {"bootstrap.servers": self._kafka, "enable.idempotence": True, "linger.ms": 1000, "log_level": 0}
        )

    def start(self, version: str = VERSION, **options: Any) -> StreamingQuery:
        """Starts the speed query, to be stopped by the caller; `options` as in `start_speed`."""
        note_declaration(LakeFiles(self._spark), self.lake, self.pipeline, version)
        return start_speed(self._spark, self.pipeline, version, self.lake, self._kafka, _OFTEN, **options)

    def produce(self, arrivals: Iterable[Arrival]) -> list[Sent]:
        """Sends records to their partitions, in this order; what Kafka acknowledged, in the same."""
        acknowledged: dict[int, Sent] = {}

        def on_delivery(number: int, error: KafkaError | None, message: Message) -> None:
            assert error is None, error
            at = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
            acknowledged[number] = Sent(message.value(), at, message.partition(), message.offset())

        for number, arrival in enumerate(arrivals):
            timestamp = int(arrival.timestamp.timestamp() * 1000)
            self._producer.produce(
                self.pipeline.topic.name,
                arrival.value,
                partition=arrival.partition,
                timestamp=timestamp,
                on_delivery=partial(on_delivery, number),
            )
        assert self._producer.flush(30) == 0
        return [acknowledged[number] for number in sorted(acknowledged)]  # each partition is acknowledged by itself

    def archive(self) -> int:
        """Archives all that Kafka holds; the raw archive's version."""
        query = start_archive(self._spark, self.pipeline.topic, self.lake, self._kafka, _OFTEN)
        try:
            query.processAllAvailable()
        finally:
            query.stop()
        return self.table(self.lake.raw(self.pipeline.topic.name)).version()

    def table(self, uri: str) -> DeltaTable:
        """A table of the lake through delta-rs, on Azurite or on this machine's disk."""
        options = None if uri.startswith("file:") else self._environment.delta_options()
        return DeltaTable(uri.removeprefix("file://"), storage_options=options)

    def reprocess(self, moments: Iterable[datetime], raw_version: int, version: str = VERSION) -> list[dict[str, Any]]:
        """One run for each interval that holds one of the moments; their results, the oldest interval first."""
        raw = read_table(self._spark, self.lake.raw(self.pipeline.topic.name), raw_version)
        ends = raw.groupBy("partition").agg(F.max("offset")).collect()
        coverage = {row[0]: row[1] + 1 for row in ends}  # every offset is a record here
        intervals = sorted({Interval.of(moment, self.pipeline.interval) for moment in moments})
        return [
            reprocess(
                self._spark,
                self.pipeline,
                interval,
                self.lake,
                f"{version}-{raw_version}-{interval.id}",
                version,
                raw_version,
                coverage,
            )
            for interval in intervals
        ]

    def note_result(
        self, interval: Interval, result: Mapping[str, Any], raw_version: int, version: str = VERSION
    ) -> None:
        """Writes a run's result down as its driver does: it is the newest of its interval."""
        about = {"run": f"{version}-{raw_version}-{interval.id}", "version": version, "raw_version": raw_version}
        path = self.lake.newest_result(self.pipeline.name, version, interval.id)
        LakeFiles(self._spark).replace(path, json.dumps({**about, **result}))

    def speed_log(self, version: str = VERSION) -> DataFrame:
        log = read_table(self._spark, self.lake.speed(self.pipeline.name))
        return log.where(F.col("_version") == version)

    def speed_rows(self, version: str = VERSION) -> dict[Key, HighLow]:
        return by_key(newest_rows(self.speed_log(version), self.pipeline))

    def raw_rows(self) -> DataFrame:
        return read_table(self._spark, self.lake.raw(self.pipeline.topic.name))

    def checkpoint(self, query: str, version: str = VERSION) -> Path:
        """The query's checkpoint, on this machine's disk."""
        return Path(self.lake.checkpoint(query, version).removeprefix("file://"))

    def publish(self, *intervals: Interval, version: str = VERSION) -> None:
        """Says that these are published by the version, and that VERSION is served; their rows do not matter here."""
        rows = [(self.pipeline.name, interval.id, version) for interval in intervals]
        published = self._spark.createDataFrame(rows, "pipeline string, _interval string, version string")
        published.write.format("delta").mode("append").save(self.lake.published)
        serving = self._spark.createDataFrame(
            [(self.pipeline.name, [VERSION], 1)], "pipeline string, versions array<string>, number int"
        )
        serving.write.format("delta").mode("overwrite").save(self.lake.serving)

    def windowed_rows(self, layer: str) -> dict[Key, tuple[Any, ...]]:
        """What a layer ("batch" or "speed") says of a pipeline of tests.parity.windowed, by symbol and start."""
        if layer == "speed":
            rows = newest_rows(self.speed_log(), self.pipeline)
        else:
            rows = read_table(self._spark, self.lake.batch(self.pipeline.name))
        start = next(name for name in rows.columns if name.endswith("_start"))
        times = [F.unix_micros(name) for name in (start, start.replace("start", "end"))]
        plain = rows.select("symbol", *times, "volume", F.col("close").cast("string"), "count").collect()
        found = {(row[0], _moment(row[1])): (_moment(row[2]), *row[3:]) for row in plain}
        assert len(found) == len(plain)
        return found

    def batch_rows(self) -> dict[Key, HighLow]:
        return by_key(read_table(self._spark, self.lake.batch(self.pipeline.name)))


def by_key(rows: DataFrame) -> dict[Key, HighLow]:
    """The rows of `stock_high_low` by symbol and start of the window. A key that comes twice fails."""
    times = [F.unix_micros(name).alias(name) for name in ("window_start", "window_end")]
    plain = rows.select("symbol", *times, "open", "high", "low", "close", "volume", "count").collect()
    found = {(row[0], _moment(row[1])): HighLow(_moment(row[2]), *row[3:]) for row in plain}
    assert len(found) == len(plain)
    return found


def _moment(micros: int) -> datetime:
    return datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)

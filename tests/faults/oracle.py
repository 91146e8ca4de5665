"""What must be true, from the record of acknowledgements and from what Kafka holds: shares no code with the jobs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pyarrow as pa
from confluent_kafka import Consumer, TopicPartition

from jobs.topics import stock_ticks
from millrace.lake.published import Publication
from tests.end_to_end.topic_oracle import KafkaRecord, high_low
from tests.faults.producer import NUMBER, read_acknowledged
from tests.faults.reader import Answer, Rows, by_interval

__all__ = ["Oracle", "check_rows", "numbered_records", "offsets_of"]

Numbered = dict[int, KafkaRecord]


class Oracle:
    """`records`: number -> record of everything that has to be in the archive. `acknowledged`: by when Kafka had
    acknowledged each, by its number; not of those that were given up."""

    def __init__(self, records: Numbered, acknowledged: Mapping[int, datetime]) -> None:
        self.records = records
        self.acknowledged = acknowledged

    @classmethod
    def of(cls, acknowledged: Path, held: list[tuple[int, KafkaRecord]], maybe: Iterable[int]) -> Oracle:
        """Of what Kafka held (see `numbered_records`); fails unless that is what it has acknowledged.

        Of records that were given up (`maybe`) each may be there, once.
        """
        numbers = Counter(number for number, _ in held)
        doubled = [number for number, count in numbers.items() if count > 1]
        assert not doubled, f"Kafka holds {len(doubled)} records twice: {doubled[:5]}"
        records = dict(held)
        acks = read_acknowledged(acknowledged)
        for ack in acks:
            found = records.get(ack.number)
            assert found is not None, f"record {ack.number} was acknowledged, and Kafka does not hold it"
            told = ack.record if ack.record.offset >= 0 else ack.record._replace(offset=found.offset)
            assert found == told, f"record {ack.number}: acknowledged {told}, held {found}"
        unknown = set(records) - {ack.number for ack in acks} - set(maybe)
        assert not unknown, f"Kafka holds {len(unknown)} records that were never acknowledged: {sorted(unknown)[:5]}"
        return cls(records, {ack.number: ack.at for ack in acks})

    def without(self, lost: Iterable[Mapping[int, tuple[int, int]]]) -> Oracle:
        """The oracle of what is left when these offsets are lost."""
        gone = offsets_of(lost)
        left = {n: r for n, r in self.records.items() if (r.partition, r.offset) not in gone}
        return Oracle(left, self.acknowledged)

    def rows(self, below: Mapping[int, int] | None = None) -> Rows:
        """The view of all records, or of those with an offset below that of their partition."""
        chosen = self.records.values()
        return high_low(r for r in chosen if below is None or r.offset < below.get(r.partition, 0))

    def check_answer(self, answer: Answer) -> int:
        """How many rows a certified answer has; fails where one contradicts the oracle, or what was certified does.

        An answer that is not partial holds whatever Kafka had acknowledged when it was asked for its end.
        """
        publication = answer.publication
        coverage = {int(partition): offset for partition, offset in publication.certificate["coverage"].items()}
        if not publication.certificate["partial"]:
            self._check_certified(publication, coverage)
        expected = by_interval(self.rows(coverage)).get(publication.interval.id, {})
        check_rows(f"interval {publication.interval.id}, run {publication.run}", answer.rows, expected)
        return len(expected)

    def _check_certified(self, publication: Publication, coverage: Mapping[int, int]) -> None:
        asked_at = datetime.fromisoformat(publication.certificate["kafka_end_at"])
        due = publication.interval.end + stock_ticks.allowed_lateness
        assert asked_at >= due, f"run {publication.run}: certified at {asked_at}, before {due}"
        lacking = [
            (record.partition, record.offset)
            for number, record in self.records.items()
            if record.offset >= coverage.get(record.partition, 0) and self._is_acknowledged(number, asked_at)
        ]
        assert not lacking, (
            f"run {publication.run}: certified up to {coverage}, and Kafka had acknowledged {len(lacking)} records"
            f" beyond it by {asked_at}: {lacking[:5]}"
        )

    def _is_acknowledged(self, number: int, by: datetime) -> bool:
        return number in self.acknowledged and self.acknowledged[number] <= by

    def check_archive(self, archived: pa.dataset.Dataset) -> int:
        """How many records it has; fails unless it holds each of ours exactly once, byte for byte, with its header."""
        ours = [(r.partition, r.offset, r.timestamp, r.key, r.value, str(n).encode()) for n, r in self.records.items()]
        names = ("partition", "offset", "timestamp", "key", "value", "number")
        types = (pa.int32(), pa.int64(), pa.timestamp("us", "UTC"), pa.binary(), pa.binary(), pa.binary())
        arrays = [pa.array(column, kind) for column, kind in zip(zip(*ours, strict=True), types, strict=True)]
        with duckdb.connect() as session:
            session.register("ours", pa.table(dict(zip(names, arrays, strict=True))))
            session.register("archived", archived)
            counts = 'SELECT count(*), count(DISTINCT ("partition", "offset")) FROM archived'
            (rows, distinct), *_ = session.sql(counts).fetchall()
            assert rows == distinct, f"the archive holds {rows - distinct} records twice"
            different = session.sql(_DIFFERENCES).fetchall()
        assert not different, f"(partition, offset, is ours, is archived): {different}"
        assert rows == len(ours), f"the archive holds {rows} records, Kafka acknowledged {len(ours)}"
        return int(rows)


_DIFFERENCES = """
    SELECT "partition", "offset", o."offset" IS NOT NULL, a."offset" IS NOT NULL
    FROM ours o FULL JOIN archived a USING ("partition", "offset")
    WHERE o."offset" IS NULL OR a."offset" IS NULL OR o.timestamp IS DISTINCT FROM a.timestamp
        OR o."key" IS DISTINCT FROM a."key" OR o.value IS DISTINCT FROM a.value
        OR len(a.headers) <> 1 OR o.number IS DISTINCT FROM a.headers[1].value
    LIMIT 5
"""


def offsets_of(lost: Iterable[Mapping[int, tuple[int, int]]]) -> set[tuple[int, int]]:
    """Each partition and offset of some ranges `[start, end)` by partition."""
    return {(p, offset) for each in lost for p, (start, end) in each.items() for offset in range(start, end)}


def check_rows(what: str, found: Rows, expected: Rows) -> None:
    """Fails, with a few of the differences, where rows are not those that are expected."""
    different = [key for key in sorted({*found, *expected}) if found.get(key) != expected.get(key)]
    shown = "; ".join(f"{key}: view {found.get(key)}, oracle {expected.get(key)}" for key in different[:3])
    assert not different, f"{what}: {len(different)} of {len(expected)} rows differ: {shown}"


def numbered_records(bootstrap: str, topic: str = stock_ticks.name) -> list[tuple[int, KafkaRecord]]:
    """Everything that Kafka holds now, each with its number."""
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "faults-oracle", "enable.auto.commit": False})
    try:
        partitions = consumer.list_topics(topic, timeout=30).topics[topic].partitions
        spans = {p: consumer.get_watermark_offsets(TopicPartition(topic, p), timeout=30) for p in partitions}
        consumer.assign([TopicPartition(topic, partition, low) for partition, (low, _) in spans.items()])
        found: list[tuple[int, KafkaRecord]] = []
        left = sum(high - low for low, high in spans.values())
        while left > 0:
            messages = consumer.consume(10_000, timeout=30)
            assert messages, f"Kafka did not deliver the last {left} records of {topic} in 30 s"
            for message in messages:
                assert message.error() is None, message.error()
                left -= 1
                moment = datetime.fromtimestamp(message.timestamp()[1] / 1000, UTC)
                record = KafkaRecord(message.partition(), message.offset(), moment, message.key(), message.value())
                found.append((int(dict(message.headers() or ())[NUMBER]), record))
        return found
    finally:
        consumer.close()

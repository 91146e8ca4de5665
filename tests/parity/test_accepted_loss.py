"""Kafka loses what the streams have yet to read: nothing is skipped before a person accepts it, and then no more."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from jobs.checkpoint import Checkpoint
from jobs.interval import Interval
from jobs.lake import RAW_VERSION, Lake, archive_query, speed_query, speed_stream
from jobs.lake_files import LakeFiles
from jobs.lost_offsets import LostOffsetsError
from jobs.offsets_guard import OffsetsGuard
from jobs.progress import ProgressJournal
from jobs.stream import run_stream
from millrace.environment import Environment
from millrace.lake.accepted_loss import accept_loss
from millrace.lake.certificate import Claim, certify
from millrace.lake.ledger import update_ledger
from millrace.lake.lost_offsets import LostOffsets, find_lost
from tests.oracle.arrivals import Arrival
from tests.parity.layer_runs import VERSION, LayerRuns

pytestmark = [pytest.mark.release, pytest.mark.stack]

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - 8 * DAY
SPEED = speed_query("stock_high_low")


def ticks(day: int, count: int, first: int = 0) -> list[Arrival]:
    """One a minute, from noon on, in partition 0."""
    moments = [NOON + day * DAY + (first + number) * MINUTE for number in range(count)]
    text = '{{"symbol":"A","event_time":"{}","price":1,"volume":1}}'
    return [Arrival(text.format(moment.isoformat()).encode(), moment, 0) for moment in moments]


class Story(LayerRuns):
    """Both streams of a topic, each held by its guard."""

    def __init__(self, spark: SparkSession, environment: Environment, lake: Lake) -> None:
        super().__init__(spark, environment, lake)
        topic = dataclasses.replace(self.pipeline.topic, max_ahead=timedelta(hours=1))
        self.pipeline = dataclasses.replace(self.pipeline, topic=topic)
        self.topic = topic
        self.spark = spark
        self.environment = dataclasses.replace(environment, lake=lake.root)
        self.archiver = self.guard(Lake("").checkpoint(archive_query(topic.name), RAW_VERSION), lake.raw(topic.name))
        self.counter = self.guard(Lake("").checkpoint(SPEED, VERSION), lake.speed(self.pipeline.name))

    def guard(self, stream: str, sink: str) -> OffsetsGuard:
        return OffsetsGuard(self.spark, self.topic.name, self.environment.kafka_bootstrap, self.lake, stream, sink)

    def read(self) -> None:
        """Both streams, as drivers run them, up to what Kafka holds."""
        for guard, run in ((self.archiver, self.archive), (self.counter, lambda: self.stream([]))):
            guard.settle()
            self._recover_journal()
            guard.admit()
            run()

    def _recover_journal(self) -> None:
        """As `jobs.stream.run_stream` does: before the checkpoint is moved, for it tells what was read."""
        checkpoint = Checkpoint(LakeFiles(self.spark), self.lake.checkpoint(SPEED, VERSION))
        stream = speed_stream(self.pipeline.name, VERSION)
        ProgressJournal(LakeFiles(self.spark), self.lake, stream, checkpoint).recover()

    def forget(self, before: int) -> None:
        """Kafka deletes the records of partition 0 below the offset, as retention does."""
        admin = AdminClient({"bootstrap.servers": self.environment.kafka_bootstrap})
        for done in admin.delete_records([TopicPartition(self.topic.name, 0, before)]).values():
            done.result(60)

    def lost(self, monkeypatch: pytest.MonkeyPatch) -> LostOffsets:
        monkeypatch.setattr("millrace.lake.lost_offsets.find_pipeline", lambda name: self.pipeline)
        return find_lost(self.environment, self.topic, [VERSION])

    def offsets(self) -> list[int]:
        """What the archive holds of partition 0, doubles and all."""
        return sorted(row["offset"] for row in self.raw_rows().where("partition = 0").select("offset").collect())

    def counted(self) -> int:
        """Events that the speed layer's newest rows count."""
        return sum(row.count for row in self.speed_rows().values())

    def partial(self, day: int) -> list[str]:
        """Why the day's interval is partial, once it is certified."""
        return certify(self.environment, self.topic, Interval.of(NOON + day * DAY, DAY), wait=timedelta(0)).partial

    def entries(self) -> list[tuple[str, int, int]]:
        ledger = update_ledger(self.environment, self.topic.name).ledger
        return [(entry.kind, entry.start, entry.end) for entry in ledger.of(0)]


@pytest.fixture
def story(spark: SparkSession, environment: Environment, lake: Lake) -> Story:
    return Story(spark, environment, lake)


def test_a_stream_goes_on_only_behind_what_was_accepted_and_the_loss_is_told_for_ever(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.produce([*ticks(0, 5), *ticks(2, 5)])  # offsets 0 to 9
    story.read()
    story.produce([*ticks(4, 10), *ticks(6, 5)])  # 10 to 24: of day 4, then of day 6
    story.forget(before=15)
    for guard in (story.archiver, story.counter):
        with pytest.raises(LostOffsetsError, match=r"partition 0: offsets 10 to 14 \(5\).*millrace accept-loss"):
            guard.admit()
    with pytest.raises(LostOffsetsError):  # as a driver meets it: before the query starts, and the lock is free again
        run_stream(
            story.spark, "archive", RAW_VERSION, "me", story.lake, lambda: pytest.fail("started"), story.archiver
        )
    (reason,) = Claim(story.environment, story.topic, Interval.of(NOON, DAY)).look().missing
    assert "partition 0 has 10 of 25" in reason

    first = story.lost(monkeypatch)
    assert first.streams == {story.archiver.stream: {0: (10, 15)}, story.counter.stream: {0: (10, 15)}}
    accept_loss(story.environment, first, "ada", "the cluster was down")
    assert story.entries() == [("archived", 0, 10), ("accepted loss", 10, 15)]

    story.forget(before=17)  # retention goes on
    with pytest.raises(LostOffsetsError, match=r"partition 0: offsets 15 to 16 \(2\)"):
        story.archiver.admit()
    accept_loss(story.environment, story.lost(monkeypatch), "bob", "too slow")
    assert not story.lost(monkeypatch)

    story.read()
    assert story.offsets() == [*range(10), *range(17, 25)]
    assert story.counted() == 18
    story.produce(ticks(6, 1, first=5))
    story.read()
    assert story.offsets() == [*range(10), *range(17, 26)]
    assert story.counted() == 19

    assert story.entries() == [
        ("archived", 0, 10),
        ("accepted loss", 10, 15),
        ("accepted loss", 15, 17),
        ("archived", 17, 26),
    ]
    ledger = update_ledger(story.environment, story.topic.name).ledger
    assert [entry.detail["who"] for entry in ledger.gaps(0)] == ["ada", "bob"]
    assert (ledger.is_complete, ledger.is_accounted_for) == (False, True)

    assert story.partial(0) == []
    assert [line[:63] for line in story.partial(4)] == [
        "accepted loss of 5 offsets of partition 0 (10 to 14) by ada on ",
        "accepted loss of 2 offsets of partition 0 (15 to 16) by bob on ",
    ]
    assert len(story.partial(3)) == 2  # nobody knows: after the last record of day 2, before the first of day 4
    assert story.partial(6) == []
    (result,) = story.reprocess([NOON + 4 * DAY], story.table(story.lake.raw(story.topic.name)).version())
    assert (result["rows_read"], result["parity"]["causes"]) == (3, {})


def test_what_was_written_but_not_noted_as_done_is_not_lost(story: Story) -> None:
    """As a driver leaves it that is killed after it wrote its last micro-batch, whose state the next one needs."""
    same_minute = ticks(0, 1, first=4) * 5
    story.produce(ticks(0, 5))
    story.read()
    story.produce(same_minute)
    story.read()
    story.produce(same_minute)
    story.forget(before=10)
    for guard in (story.archiver, story.counter):
        last = guard._checkpoint.committed()[-1]
        guard._files.delete(f"{story.lake.root}/{guard.stream}/commits/{last}")
        assert (guard._following() or {})[0] == 5
    story.read()
    assert story.offsets() == [*range(15)]
    assert story.counted() == 15


def test_a_micro_batch_that_was_planned_over_the_hole_is_planned_anew(
    new_run: Callable[[], LayerRuns], spark: SparkSession, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a local disk, where Hadoop keeps checksums of the files that are changed."""
    story = Story(spark, environment, new_run().lake)
    story.produce(ticks(0, 5))
    story.read()
    story.produce(ticks(1, 10))
    for query, version in ((archive_query(story.topic.name), RAW_VERSION), (SPEED, VERSION)):
        offsets = story.checkpoint(query, version) / "offsets"
        last = max(int(path.name) for path in offsets.iterdir() if path.name.isdigit())
        planned = (offsets / f"{last}").read_text().replace('"0":5', '"0":15')
        (offsets / f"{last + 1}").write_text(planned)
    story.forget(before=12)
    monkeypatch.setattr("jobs.offsets_guard.accepted_losses", lambda *_: _accepting(story, 5, 12))
    story.read()
    assert story.offsets() == [*range(5), *range(12, 15)]
    assert story.counted() == 8


def _accepting(story: Story, start: int, end: int) -> list[Any]:
    from jobs.accepted_losses import AcceptedLoss

    skipped = {guard.stream: {0: (start, end)} for guard in (story.archiver, story.counter)}
    return [AcceptedLoss("1", story.topic.name, None, "ada", NOON, "why", {}, skipped, [])]


def test_a_topic_that_was_deleted_and_created_again_is_refused_also_where_it_is_longer(
    story: Story, monkeypatch: pytest.MonkeyPatch
) -> None:
    story.produce(ticks(0, 5))
    story.read()
    story.recreate_topic()
    story.produce(ticks(1, 9))
    with pytest.raises(LostOffsetsError, match="was deleted and created again"):
        story.archiver.admit()
    with pytest.raises(Exception, match="was recreated in Kafka, or cut off"):
        story.lost(monkeypatch)


def test_a_query_that_fails_for_lost_offsets_says_which(story: Story) -> None:
    """As a driver's log ends: Kafka forgets between two micro-batches of a running query."""
    from jobs.archive import start_archive

    story.produce(ticks(0, 5))
    story.read()

    def start() -> Any:
        story.produce(ticks(1, 5))
        story.forget(before=8)
        where = (story.topic, story.lake, story.environment.kafka_bootstrap, timedelta(0))
        return start_archive(story.spark, *where)

    with pytest.raises(LostOffsetsError, match=r"partition 0: offsets 5 to 7 \(3\)") as failure:
        run_stream(story.spark, archive_query(story.topic.name), RAW_VERSION, "me", story.lake, start, story.archiver)
    assert failure.value.__cause__ is not None
    assert story.offsets() == [*range(5)]


def test_a_difference_for_what_one_layer_has_lost_has_that_cause(story: Story, monkeypatch: pytest.MonkeyPatch) -> None:
    story.produce(ticks(0, 5))
    story.read()
    story.produce(ticks(2, 5))  # offsets 5 to 9: the speed layer reads all of them, the archive two
    story.stream([])
    story.forget(before=8)
    accept_loss(story.environment, story.lost(monkeypatch), "ada", "why")
    story.read()
    story.produce(ticks(4, 5))  # offsets 10 to 14: the archive reads all of them, the speed layer two
    story.archive()
    story.forget(before=13)
    lost = story.lost(monkeypatch)
    assert (lost.streams, lost.ranges) == ({story.counter.stream: {0: (10, 13)}}, [])
    accept_loss(story.environment, lost, "ada", "why")
    story.read()
    days = [NOON, NOON + 2 * DAY, NOON + 4 * DAY]
    results = story.reprocess(days, story.table(story.lake.raw(story.topic.name)).version())
    parities = [result["parity"] for result in results]
    assert [parity["causes"] for parity in parities] == [{}, {"accepted loss": 3}, {"accepted loss": 3}]
    assert [parity["only_speed"] for parity in parities] == [0, 3, 0]
    assert [parity["only_batch"] for parity in parities] == [0, 0, 3]
    assert [len(story.partial(day)) for day in (2, 4)] == [1, 0]

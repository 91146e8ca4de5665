"""What Kafka no longer has of a topic although a stream has yet to read it, and what no archive has for that reason."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime

from jobs.accepted_losses import LostRange, accepted_losses, ranges_of_stream
from jobs.checkpoint import Checkpoint
from jobs.errors import MillraceError
from jobs.lake import RAW_VERSION, Lake, alerts_query, archive_query, speed_query
from jobs.lost_offsets import NEW_TOPIC, HeldOffsets, cut_off, lost_ranges, next_offsets, told_ranges, unaccepted
from jobs.pipelines import find_pipeline, pipeline_names
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.declared import declared, is_here
from millrace.lake.ledger import Ledger, update_ledger
from millrace.lake.ledger.entries import Kind
from millrace.lake.ledger.kafka_topic import KafkaTopic, ask_kafka
from millrace.lake.ledger.ranges import Ranges, subtract, union
from millrace.lake.neighbours import Neighbours
from millrace.lake.serving import served_version
from millrace.lake.store import LakeStore
from millrace.lake.text_files import TextFiles

__all__ = ["LostOffsets", "find_lost"]

Skips = dict[int, tuple[int, int]]


@dataclass(frozen=True)
class LostOffsets:
    """What is lost and not yet accepted.

    `streams`: per stream that cannot go on (its checkpoint's path) and partition, the range that it would skip.
    `ranges`: what of the topic is in no archive; less than a stream's where the archive has read further.
    """

    topic: str
    held: HeldOffsets
    streams: dict[str, Skips]
    ranges: list[LostRange]

    def __bool__(self) -> bool:
        return bool(self.streams or self.ranges)


def find_lost(environment: Environment, topic: Topic, versions: Collection[str] = ()) -> LostOffsets:
    """Brings the ledger up to date and asks Kafka. Raises MillraceError where that fails, and where Kafka has another
    topic of that name now, or one that was cut off: that cannot be accepted.

    Of speed layers, the streams of the version that is served and of that of the code are to go on, and of `versions`.
    """
    ledger = update_ledger(environment, topic.name).ledger
    kafka = ask_kafka(environment, topic.name)
    held = HeldOffsets(kafka.facts.topic_id, dict(kafka.facts.held))
    files = TextFiles(LakeStore(environment))
    done = [loss for loss in accepted_losses(files, Lake(""), topic.name) if not held.is_other(loss.topic_id)]
    streams: dict[str, Skips] = {}
    for stream in _streams(environment, topic, versions):
        following = _following(files, stream, topic.name, held)
        if left := unaccepted(lost_ranges(following, held), ranges_of_stream(done, stream)):
            streams[stream] = left
    ranges = list(_lost(environment, topic, kafka, ledger, streams.get(_archive(topic.name), {})))
    return LostOffsets(topic.name, held, streams, ranges)


def _streams(environment: Environment, topic: Topic, versions: Collection[str]) -> Iterator[str]:
    """The checkpoints of the topic's archive, and of each pipeline that reads it: of the versions that are to go on,
    and of its alerts."""
    store = LakeStore(environment)
    yield _archive(topic.name)
    for pipeline in map(find_pipeline, pipeline_names()):
        folder, served = Lake("").checkpoint(speed_query(pipeline.name), ""), served_version(environment, pipeline)
        for version in sorted(store.folders(folder)):
            goes_on = version in (served, *versions) or is_here(pipeline, version)
            # While a pipeline moves to another topic, its versions read different ones.
            if goes_on and declared(environment, pipeline, version).topic.name == topic.name:
                yield f"{folder}/{version}"
        if pipeline.alerts and pipeline.topic.name == topic.name:
            yield Lake("").checkpoint(alerts_query(pipeline.name), topic.name)


def _archive(topic: str) -> str:
    return Lake("").checkpoint(archive_query(topic), RAW_VERSION)


def _following(files: TextFiles, stream: str, topic: str, held: HeldOffsets) -> dict[int, int]:
    """Where the stream reads next. One that has never run has nothing to lose: where Kafka begins."""
    checkpoint = Checkpoint(files, stream)
    known, following = checkpoint.topic_id(), next_offsets(checkpoint, topic)
    if following is None:
        return {partition: first for partition, (first, _) in held.partitions.items()}
    cut = cut_off(following, held)
    if cut or held.is_other(known):
        told = told_ranges(cut) or f"its id is {held.topic_id}, before {known}"
        raise MillraceError(
            f"topic {topic!r} was recreated in Kafka, or cut off below what {stream} has read ({told}): its offsets"
            f" name other records now, so there is no loss to accept and no place to go on; {NEW_TOPIC}"
        )
    return following


def _lost(
    environment: Environment, topic: Topic, kafka: KafkaTopic, ledger: Ledger, skipped: Skips
) -> Iterator[LostRange]:
    """What the archive would skip, and what the ledger knows that it lacks, less what is accounted for."""
    neighbours, now = Neighbours(environment, topic), datetime.now(UTC)
    new = Kind.RETENTION if kafka.facts.forgets else Kind.TRUNCATION
    for partition in sorted({*skipped, *ledger.partitions}):
        known = [(e.kind, [(e.start, e.end)]) for e in ledger.of(partition, Kind.LACKING) if e.start < e.end]
        told: Ranges = [(e.start, e.end) for e in ledger.of(partition) if e.start < e.end]
        hole = union([skipped[partition]]) if partition in skipped else []
        for kind, ranges in [*known, (new, subtract(hole, union(told)))]:
            for start, end in ranges:
                since, until = neighbours.touched(partition, start, end, now)
                yield LostRange(partition, start, end, kind, since, until)

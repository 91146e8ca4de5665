"""What people have accepted as lost: one small file each, written once and never changed. No Spark import here."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any, Dict, Iterable, Iterator, List, Mapping, Optional, Tuple

from jobs.interval import Interval
from jobs.lake import Lake, speed_query
from jobs.lost_offsets import unaccepted
from jobs.pipeline import Pipeline
from jobs.small_files import SmallFiles

__all__ = [
    "AcceptedLoss",
    "LostRange",
    "accepted_losses",
    "lacked_by_speed",
    "lossy",
    "lost_from",
    "lost_within",
    "ranges_of_stream",
]


@dataclass(frozen=True)
class LostRange:
    """Offsets `[start, end)` of a partition that are in no archive and never will be.

    `kind`: what the ledger had established. An interval `[start, end)` may lack such a record when it ends at or
    after `touches_from` (None: since ever) and begins at or before `touches_to`.
    """

    partition: int
    start: int
    end: int
    kind: str
    touches_from: Optional[datetime]
    touches_to: datetime

    def touches(self, start: datetime, end: datetime) -> bool:
        """Whether a record of the range may belong to `[start, end)`."""
        return start <= self.touches_to and (self.touches_from is None or end >= self.touches_from)


@dataclass(frozen=True)
class AcceptedLoss:
    """One acknowledgement: `who`, `when`, why (`reason`), and which offsets.

    `skipped`: per stream (its checkpoint's path on the lake) and partition, the range that it may leave out.
    `lost`: what of the topic no archive has. `kafka`: what Kafka held then, per partition the first offset and the end.
    """

    id: str
    topic: str
    topic_id: Optional[str]
    who: str
    when: datetime
    reason: str
    kafka: Dict[int, Tuple[int, int]]
    skipped: Dict[str, Dict[int, Tuple[int, int]]]
    lost: List[LostRange]

    def to_json(self) -> Dict[str, Any]:
        """A dictionary that JSON can hold."""
        return dict(json.loads(json.dumps(asdict(self), default=lambda moment: moment.isoformat())))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> AcceptedLoss:
        return cls(
            **{
                **content,
                "when": datetime.fromisoformat(content["when"]),
                "kafka": _ranges(content["kafka"]),
                "skipped": {stream: _ranges(ranges) for stream, ranges in content["skipped"].items()},
                "lost": [_lost(each) for each in content["lost"]],
            }
        )


def accepted_losses(files: SmallFiles, lake: Lake, topic: str) -> List[AcceptedLoss]:
    """All that was accepted of a topic, oldest first."""
    folder = lake.accepted_losses(topic)
    texts = (files.read(f"{folder}/{name}") for name in files.names(folder) if name.endswith(".json"))
    found = [AcceptedLoss.from_json(json.loads(text)) for text in texts if text]
    return sorted(found, key=lambda loss: (loss.when, loss.id))


def lost_within(losses: Iterable[AcceptedLoss], start: datetime, end: datetime) -> Iterator[Tuple[LostRange, str]]:
    """Each range of lost records that may belong to `[start, end)`, and why that is partial for ever, in words.

    Certificates keep these words, and are compared by them.
    """
    for loss in losses:
        for lost in (lost for lost in loss.lost if lost.touches(start, end)):
            yield lost, f"accepted loss of {_told(lost.partition, lost.start, lost.end)} {_by(loss)}"


def lossy(losses: List[AcceptedLoss], pipeline: Pipeline, version: str, intervals: Iterable[str]) -> List[str]:
    """Those of the intervals (their ids) whose speed rows of this version may lack a record: see `lacked_by_speed`."""
    parsed = {each: Interval.parse(each, pipeline.interval) for each in intervals}
    return [each for each, interval in parsed.items() if lacked_by_speed(losses, pipeline, version, interval)]


def lacked_by_speed(losses: List[AcceptedLoss], pipeline: Pipeline, version: str, interval: Interval) -> List[str]:
    """Why the interval's speed rows of this version may lack a record that decides one: what nobody archived, and what
    its stream alone has skipped. `pipeline`: as the version declared it."""
    reads = pipeline.reads(interval)
    lost = [told for _, told in lost_within(losses, reads.start, reads.end)]
    return [*lost, *_skipped(losses, pipeline, version, reads.start)]


def _skipped(losses: List[AcceptedLoss], pipeline: Pipeline, version: str, start: datetime) -> Iterator[str]:
    """What the stream left out though it is archived, of events at or after `start`. When that was sent is not noted:
    before it was accepted, and as early as may be. Of what is in no archive either, `lost_within` tells more."""
    stream = Lake("").checkpoint(speed_query(pipeline.name), version)
    lost = [{each.partition: (each.start, each.end)} for loss in losses for each in loss.lost]
    for loss in losses:
        if start <= loss.when + pipeline.topic.max_ahead:
            for partition, ends in unaccepted(loss.skipped.get(stream, {}), lost).items():
                yield f"the speed layer has skipped {_told(partition, *ends)}, accepted {_by(loss)}"


def lost_from(
    losses: Iterable[AcceptedLoss], certificate: Mapping[str, Any], start: datetime, end: datetime
) -> List[str]:
    """What is said of `[start, end)` that a run with this certificate has read; accepted before or after: decision 31.

    Where the archive was proven complete, the run had read what is below its coverage: that was lost later.
    """
    is_complete = certificate.get("partial") == []
    coverage = certificate.get("coverage", {}) if is_complete else {}
    found = lost_within(losses, start, end)
    return [told for lost, told in found if lost.end > coverage.get(str(lost.partition), 0)]


def ranges_of_stream(losses: Iterable[AcceptedLoss], stream: str) -> Iterator[Dict[int, Tuple[int, int]]]:
    """What the stream with this checkpoint may leave out, one mapping per acknowledgement."""
    return (loss.skipped[stream] for loss in losses if stream in loss.skipped)


def _told(partition: int, start: int, end: int) -> str:
    return f"{end - start:,} offsets of partition {partition} ({start:,} to {end - 1:,})"


def _by(loss: AcceptedLoss) -> str:
    return f"by {loss.who} on {loss.when:%Y-%m-%d}: {loss.reason}"


def _ranges(content: Mapping[str, Any]) -> Dict[int, Tuple[int, int]]:
    return {int(partition): (int(start), int(end)) for partition, (start, end) in content.items()}


def _lost(content: Mapping[str, Any]) -> LostRange:
    since = content["touches_from"]
    moments = {
        "touches_from": None if since is None else datetime.fromisoformat(since),
        "touches_to": datetime.fromisoformat(content["touches_to"]),
    }
    return LostRange(**{**content, **moments})

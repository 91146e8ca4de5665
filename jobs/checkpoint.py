"""What the checkpoint of a streaming query tells: its id, and what each micro-batch was planned to read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Any, Dict, List, NoReturn, Optional

from jobs.errors import UsageError
from jobs.small_files import SmallFiles

__all__ = ["TOPIC_NOTE", "Checkpoint", "Offsets", "PlannedBatch", "of_topic"]

Offsets = Dict[str, Dict[str, int]]
TOPIC_NOTE = "topic.json"
"""Beside Spark's files: which topic the query has read."""


@dataclass(frozen=True)
class PlannedBatch:
    """`end_offsets` (exclusive) by topic and partition. `watermark` is None before the first one."""

    end_offsets: Offsets
    watermark: Optional[datetime]
    planned_at: datetime


class Checkpoint:
    """Spark's files below a checkpoint location: `metadata`, `sources`, `offsets/<batch>` and `commits/<batch>`.

    Spark writes the offsets of a micro-batch before it runs and the commit after it, and keeps the last 100 of each.
    """

    def __init__(self, files: SmallFiles, uri: str) -> None:
        self._files = files
        self._uri = uri

    def query_id(self) -> Optional[str]:
        """The id that the query has for life; None before its first start."""
        text = self._files.read(f"{self._uri}/metadata")
        return None if text is None else str(self._parsed("metadata", text)["id"])

    def topic_id(self) -> Optional[str]:
        """Kafka's id of the topic that the query has read, as its driver has noted it (see `jobs.offsets_guard`); None
        before its first start, and where the broker has none."""
        text = self._files.read(f"{self._uri}/{TOPIC_NOTE}")
        found: Optional[str] = self._parsed(TOPIC_NOTE, text)["topic_id"] if text else None
        return found

    def first_offsets(self) -> Optional[Offsets]:
        """Where the query began: in Kafka, or in the raw archive (see `jobs.bootstrap`).

        None before that is decided. A partition added later is read from 0.
        """
        text = self._files.read(f"{self._uri}/sources/0/0")
        # A zero byte and the format's version stand before the JSON.
        found: Optional[Offsets] = json.loads(text[text.index("{") :]) if text else None
        return found

    def committed(self) -> List[int]:
        """Micro-batches that are noted as done, ascending, as far back as Spark keeps them."""
        return sorted(int(name) for name in self._files.names(f"{self._uri}/commits") if name.isdigit())

    def newest_planned(self) -> int:
        """The last micro-batch that was planned, done or not; -1 before the first."""
        names = self._files.names(f"{self._uri}/offsets")
        return max((int(name) for name in names if name.isdigit()), default=-1)

    def check(self, topic: str) -> None:
        """Raises UsageError where Spark could not go on from it: a file that it reads is damaged or missing, or tells
        of another topic.

        Spark reads the metadata, the newest two plans and the newest commit.
        """
        if self.query_id() is None:
            self._refuse("metadata", "is missing")
        batches = sorted(int(name) for name in self._files.names(f"{self._uri}/offsets") if name.isdigit())
        for batch in range(max(0, batches[-1] - 1), batches[-1] + 1) if batches else ():
            if batch not in batches:
                self._refuse(f"offsets/{batch}", "is missing")
            planned = self.planned(batch, must_be=True)
            others = sorted(set(planned.end_offsets) - {topic}) if planned else []
            if others:
                self._refuse(f"offsets/{batch}", f"is of topic {', '.join(others)}, but the query reads {topic}")
        for batch in self.committed()[-1:]:
            text = self._files.read(f"{self._uri}/commits/{batch}") or ""
            self._parsed(f"commits/{batch}", text.partition("\n")[2])

    def planned(self, batch_id: int, must_be: bool = False) -> Optional[PlannedBatch]:
        """What a micro-batch was planned to read; None where it has not been planned, or is no longer kept, or read no
        topic but the raw archive (see `jobs.bootstrap`).

        Raises UsageError for a file that Spark did not write: a version, a line about the micro-batch, a source. An
        empty one is as none, unless it `must_be`.
        """
        name = f"offsets/{batch_id}"
        text = self._files.read(f"{self._uri}/{name}")
        if not text and not must_be:
            return None
        lines = (text or "").splitlines()
        if len(lines) != 3:
            self._refuse(name, f"has {len(lines)} lines where Spark writes 3")
        about, end_offsets = self._parsed(name, lines[1]), self._parsed(name, lines[2])
        if "reservoirId" in end_offsets:
            return None
        watermark_ms = about.get("batchWatermarkMs")
        return PlannedBatch(
            end_offsets=end_offsets,
            watermark=_moment(watermark_ms) if watermark_ms else None,
            planned_at=_moment(about.get("batchTimestampMs", 0)),
        )

    def _parsed(self, name: str, text: str) -> Any:
        try:
            return json.loads(text)
        except ValueError as error:
            raise self._refusal(name, f"is damaged ({error})") from None

    def _refuse(self, name: str, found: str) -> NoReturn:
        raise self._refusal(name, found)

    def _refusal(self, name: str, found: str) -> UsageError:
        return UsageError(
            f"checkpoint {self._uri}: {name} {found}; restore the whole folder from a copy, or give the query another"
            " checkpoint: for a speed layer, raise the pipeline's `revision` to start a new version"
        )


def of_topic(offsets: Optional[Offsets], topic: str) -> Dict[int, int]:
    """One topic's offsets by partition; empty where there are none."""
    return {int(partition): int(offset) for partition, offset in (offsets or {}).get(topic, {}).items()}


def _moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, timezone.utc)

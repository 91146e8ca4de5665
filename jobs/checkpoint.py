"""What the checkpoint of a streaming query tells: its id, and what each micro-batch was planned to read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Dict, List, Optional

from jobs.errors import MillraceError
from jobs.small_files import SmallFiles

__all__ = ["Checkpoint", "Offsets", "PlannedBatch", "of_topic"]

Offsets = Dict[str, Dict[str, int]]


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
        return str(json.loads(text)["id"]) if text else None

    def first_offsets(self) -> Optional[Offsets]:
        """Where the Kafka source began; None before that is decided. A partition added later is read from 0."""
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

    def planned(self, batch_id: int) -> Optional[PlannedBatch]:
        """What a micro-batch was planned to read; None where it has not been planned, or is no longer kept.

        Raises MillraceError for a file that Spark did not write: a version, a line about the micro-batch, a source.
        """
        text = self._files.read(f"{self._uri}/offsets/{batch_id}")
        if not text:
            return None
        lines = text.splitlines()
        if len(lines) != 3:
            raise MillraceError(
                f"{self._uri}/offsets/{batch_id} has {len(lines)} lines where Spark writes 3; the checkpoint was"
                " changed by something else: restore it before the next run"
            )
        about = json.loads(lines[1])
        watermark_ms = about.get("batchWatermarkMs")
        return PlannedBatch(
            end_offsets=json.loads(lines[2]),
            watermark=_moment(watermark_ms) if watermark_ms else None,
            planned_at=_moment(about.get("batchTimestampMs", 0)),
        )


def of_topic(offsets: Optional[Offsets], topic: str) -> Dict[int, int]:
    """One topic's offsets by partition; empty where there are none."""
    return {int(partition): int(offset) for partition, offset in (offsets or {}).get(topic, {}).items()}


def _moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, timezone.utc)

"""What the checkpoint of a streaming query tells: its id, and what each micro-batch was planned to read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import Dict, List, Optional

from jobs.lake_files import LakeFiles

__all__ = ["Checkpoint", "PlannedBatch"]


@dataclass(frozen=True)
class PlannedBatch:
    """`end_offsets` (exclusive) by topic and partition. `watermark` is None before the first one."""

    end_offsets: Dict[str, Dict[str, int]]
    watermark: Optional[datetime]
    planned_at: datetime


class Checkpoint:
    """Spark's files below a checkpoint location: `metadata`, `sources`, `offsets/<batch>` and `commits/<batch>`.

    Spark writes the offsets of a micro-batch before it runs and the commit after it, and keeps the last 100 of each.
    """

    def __init__(self, files: LakeFiles, uri: str) -> None:
        self._files = files
        self._uri = uri

    def query_id(self) -> Optional[str]:
        """The id that the query has for life; None before its first start."""
        text = self._files.read(f"{self._uri}/metadata")
        return str(json.loads(text)["id"]) if text else None

    def first_offsets(self) -> Optional[Dict[str, Dict[str, int]]]:
        """Where the Kafka source began, by topic and partition; None before that is decided."""
        text = self._files.read(f"{self._uri}/sources/0/0")
        # A zero byte and the format's version stand before the JSON.
        found: Optional[Dict[str, Dict[str, int]]] = json.loads(text[text.index("{") :]) if text else None
        return found

    def committed(self) -> List[int]:
        """Micro-batches that are noted as done, ascending, as far back as Spark keeps them."""
        return sorted(int(name) for name in self._files.names(f"{self._uri}/commits") if name.isdigit())

    def planned(self, batch_id: int) -> Optional[PlannedBatch]:
        """What a micro-batch was planned to read; None where it has not been planned, or is no longer kept."""
        text = self._files.read(f"{self._uri}/offsets/{batch_id}")
        if not text:
            return None
        _, metadata, source = text.splitlines()[:3]
        planned = json.loads(metadata)
        return PlannedBatch(
            end_offsets=json.loads(source),
            watermark=_moment(planned["batchWatermarkMs"]) if planned["batchWatermarkMs"] else None,
            planned_at=_moment(planned["batchTimestampMs"]),
        )


def _moment(millis: int) -> datetime:
    return datetime.fromtimestamp(millis / 1000, timezone.utc)

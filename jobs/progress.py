"""The progress journal: one JSON line per micro-batch, in `progress/<query>/<date>.jsonl` on the lake."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Dict, List

from jobs.lake import Lake
from jobs.lake_files import LakeFiles

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["ProgressJournal", "journal_line"]


class ProgressJournal:
    """Copies a query's micro-batch progress to the lake. Polled: Spark 3.3 has no listener in Python."""

    def __init__(self, files: LakeFiles, lake: Lake, query: str) -> None:
        self._files = files
        self._lake = lake
        self._query = query
        self._last_batch = -1

    def write(self, running: StreamingQuery) -> None:
        """Appends what is new since the last call. Call it at least every 100 micro-batches: Spark keeps that many."""
        lines: Dict[str, List[str]] = {}
        for progress in map(_as_dict, running.recentProgress):
            if int(progress["batchId"]) > self._last_batch and "addBatch" in progress["durationMs"]:
                self._last_batch = int(progress["batchId"])
                lines.setdefault(str(progress["timestamp"])[:10], []).append(journal_line(progress))
        for date, new in lines.items():
            self._files.append(self._lake.progress(self._query, date), "".join(new))


def journal_line(progress: Dict[str, Any]) -> str:
    """One micro-batch. Offsets by partition; a range is [start, end). The watermark is the one in force, or null."""
    source = progress["sources"][0]
    line = {
        "batch_id": progress["batchId"],
        "query_id": progress["id"],
        "timestamp": progress["timestamp"],
        "rows": progress["numInputRows"],
        "start_offsets": source["startOffset"],
        "end_offsets": source["endOffset"],
        "latest_offsets": source.get("latestOffset"),
        "watermark": progress.get("eventTime", {}).get("watermark"),
        "late_rows": sum(int(op.get("numRowsDroppedByWatermark", 0)) for op in progress.get("stateOperators", [])),
        "duration_ms": progress["durationMs"],
    }
    return json.dumps(line) + "\n"


def _as_dict(progress: Any) -> Dict[str, Any]:
    """Spark 4 gives StreamingQueryProgress objects, Spark 3 plain dictionaries."""
    found: Dict[str, Any] = progress if type(progress) is dict else json.loads(progress.json)
    return found

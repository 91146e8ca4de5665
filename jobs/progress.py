"""The progress journal: one JSON line per micro-batch, in `progress/<query>/<date>.jsonl` on the lake."""

from __future__ import annotations

import json
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Dict, List, Optional

from pyspark import __version__ as engine

from jobs.checkpoint import Checkpoint, PlannedBatch
from jobs.journal import whole_lines
from jobs.lake import Lake
from jobs.lake_files import LakeFiles

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["ProgressJournal", "bootstrap_line", "journal_line"]

_LAST_LINES_BYTES = 256 * 1024


class ProgressJournal:
    """Copies a query's micro-batch progress to the lake. Polled: Spark 3.3 has no listener in Python."""

    def __init__(self, files: LakeFiles, lake: Lake, query: str, checkpoint: Checkpoint) -> None:
        self._files = files
        self._lake = lake
        self._query = query
        self._checkpoint = checkpoint
        self._last_batch = -1
        self._last_watermark: Optional[str] = None

    def recover(self) -> None:
        """Adds the micro-batches that a killed driver had committed but not journaled, from the checkpoint.

        Call it before the query starts: Spark keeps 100 micro-batches and drops the oldest with each new one.
        """
        query_id = self._checkpoint.query_id()
        if query_id is None:
            return
        journaled = self._last_journaled(query_id)
        missing = [batch for batch in self._checkpoint.committed() if batch > journaled]
        planned = {batch: self._checkpoint.planned(batch) for batch in {*missing, *(batch - 1 for batch in missing)}}
        lines = [self._recovered(query_id, batch, planned[batch], planned[batch - 1]) for batch in missing]
        self._append([line for line in lines if line is not None])

    def write(self, running: StreamingQuery) -> None:
        """Appends what is new since the last call. Call it at least every 100 micro-batches: Spark keeps that many."""
        new = []
        for progress in map(_as_dict, running.recentProgress):
            if int(progress["batchId"]) > self._last_batch and "addBatch" in progress["durationMs"]:
                previous = self._previous_watermark(progress)
                line = journal_line(progress, previous if _judges_by_previous() else _watermark(progress), previous)
                new.append({**line, "start_offsets": line["start_offsets"] or self._checkpoint.first_offsets()})
                self._last_batch = int(progress["batchId"])
                self._last_watermark = _watermark(progress)
        self._append(new)

    def add(self, line: Dict[str, Any]) -> None:
        """Appends one line: see `bootstrap_line`."""
        self._append([line])

    def _append(self, lines: List[Dict[str, Any]]) -> None:
        by_date: Dict[str, List[str]] = {}
        for line in lines:
            by_date.setdefault(str(line["timestamp"])[:10], []).append(json.dumps(line) + "\n")
        for date, new in by_date.items():
            # It begins a line also where a crash has cut one off.
            self._files.append(self._lake.progress(self._query, date), "\n" + "".join(new))

    def _previous_watermark(self, progress: Dict[str, Any]) -> Optional[str]:
        previous = int(progress["batchId"]) - 1
        if previous == self._last_batch:
            return self._last_watermark
        planned = self._checkpoint.planned(previous)
        return _text(planned.watermark) if planned and planned.watermark else None

    def _last_journaled(self, query_id: str) -> int:
        """The newest micro-batch of this checkpoint in the journal, -1 where there is none near its end."""
        folder = self._lake.progress_folder(self._query)
        for name in sorted(self._files.names(folder), reverse=True):
            tail = self._files.read_tail(f"{folder}/{name}", _LAST_LINES_BYTES)
            batches = [int(line["batch_id"]) for line in whole_lines(tail) if line["query_id"] == query_id]
            if batches:
                return max(batches)
        return -1

    def _recovered(
        self, query_id: str, batch: int, planned: Optional[PlannedBatch], before: Optional[PlannedBatch]
    ) -> Optional[Dict[str, Any]]:
        """A line as far as the checkpoint knows; None where the micro-batch before it is no longer kept."""
        if planned is None or (before is None and batch > 0):
            return None
        judge = before if _judges_by_previous() else planned
        return {
            "batch_id": batch,
            "query_id": query_id,
            "timestamp": _text(planned.planned_at),
            "rows": None,
            "start_offsets": before.end_offsets if before else self._checkpoint.first_offsets(),
            "end_offsets": planned.end_offsets,
            "latest_offsets": None,
            "watermark": _text(planned.watermark) if planned.watermark else None,
            "late_watermark": _text(judge.watermark) if judge and judge.watermark else None,
            "previous_watermark": _text(before.watermark) if before and before.watermark else None,
            "late_rows": None,
            "duration_ms": None,
        }


def bootstrap_line(checkpoint: Checkpoint, last_batch: int, ended_at: datetime) -> Dict[str, Any]:
    """All that was read from the raw archive before Kafka, up to that micro-batch: see `jobs.bootstrap`.

    It was read in the order of event time, so no event was late. Until there is this line, nothing counts as read.
    """
    planned = checkpoint.planned(last_batch)
    return {
        "batch_id": last_batch,
        "query_id": checkpoint.query_id(),
        "timestamp": _text(ended_at),
        "rows": None,
        "start_offsets": checkpoint.first_offsets(),
        "end_offsets": planned.end_offsets if planned else None,
        "latest_offsets": None,
        "watermark": _text(planned.watermark) if planned and planned.watermark else None,
        "late_watermark": None,
        "previous_watermark": None,
        "late_rows": 0,
        "duration_ms": None,
        "from_archive": True,
    }


def journal_line(
    progress: Dict[str, Any], late_watermark: Optional[str], previous_watermark: Optional[str]
) -> Dict[str, Any]:
    """One micro-batch. Offsets by topic and partition; a range is [start, end).

    An event was late for it when its window had ended by `late_watermark` (null: none was). `watermark` is the one at
    which windows were closed, `previous_watermark` that of the micro-batch before. `late_rows` is Spark's own count:
    rows that late events would have changed, not events; 0 where no event was late. (`millrace late` has the events.)
    In a line that was recovered from the checkpoint, what Spark does not keep there is null.
    """
    source = progress["sources"][0]
    return {
        "batch_id": progress["batchId"],
        "query_id": progress["id"],
        "timestamp": progress["timestamp"],
        "rows": progress["numInputRows"],
        "start_offsets": _offsets(source["startOffset"]),
        "end_offsets": _offsets(source["endOffset"]),
        "latest_offsets": _offsets(source.get("latestOffset")),
        "watermark": _watermark(progress),
        "late_watermark": late_watermark,
        "previous_watermark": previous_watermark,
        "late_rows": sum(int(op.get("numRowsDroppedByWatermark", 0)) for op in progress.get("stateOperators", [])),
        "duration_ms": progress["durationMs"],
    }


def _judges_by_previous() -> bool:
    """Whether events are late by the watermark of the micro-batch before: so since Spark 3.4 (SPARK-40925)."""
    major, minor = engine.split(".")[:2]
    return (int(major), int(minor)) >= (3, 4)


def _watermark(progress: Dict[str, Any]) -> Optional[str]:
    """None before the first one, which Spark gives as the epoch."""
    found = progress.get("eventTime", {}).get("watermark")
    return None if found is None or str(found).startswith("1970-01-01T00:00:00") else str(found)


def _offsets(told: Any) -> Any:
    """Some versions of Spark give JSON as text in JSON."""
    return json.loads(told) if isinstance(told, str) else told


def _text(moment: datetime) -> str:
    """As Spark writes its own: UTC with milliseconds."""
    return moment.astimezone(timezone.utc).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _as_dict(progress: Any) -> Dict[str, Any]:
    """Spark 4 gives StreamingQueryProgress objects, Spark 3 plain dictionaries."""
    found: Dict[str, Any] = progress if type(progress) is dict else json.loads(progress.json)
    return found

"""Feeding a new version from the raw archive first, where Kafka no longer holds all that it needs: see decision 13.

The archive's events go through the same stateful query, one slice of event time after the other, so nothing is late.
Then the checkpoint's last entry is rewritten to say what Kafka's source would say there, and the query goes on from
Kafka. Each step is noted beside the checkpoint: after a driver that is killed anywhere, the next one goes on.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any, Callable, Dict, List, Optional

from pyspark import StorageLevel
from pyspark.sql import DataFrame, SparkSession
from pyspark.sql import functions as F

from jobs.checkpoint import Checkpoint
from jobs.decode import decode
from jobs.errors import MillraceError, StopRequestedError
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.pipeline import Pipeline
from jobs.progress import ProgressJournal, bootstrap_line
from jobs.starting import Archived, Start
from jobs.tables import ensure_table, read_table

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["Bootstrap"]

# Events in a micro-batch, about: whole minutes are not divided.
SLICE_EVENTS = 1_000_000
_ALL_FILES = 1_000_000


@dataclass(frozen=True)
class Plan:
    """`ends`: where each slice ends (exclusive), in minutes of event time since 1970, ascending."""

    archived: Archived
    kafka: Dict[int, int]
    ends: List[int]


class Bootstrap:
    """The bootstrap of one checkpoint: noted in its folder `bootstrap`."""

    def __init__(
        self, spark: SparkSession, pipeline: Pipeline, lake: Lake, checkpoint: str, journal: ProgressJournal
    ) -> None:
        self._spark = spark
        self._files = LakeFiles(spark)
        self._pipeline = pipeline
        self._raw = lake.raw(pipeline.topic.name)
        self._uri = checkpoint
        self._folder = f"{checkpoint}/bootstrap"
        self._slices = f"{self._folder}/slices"
        self._journal = journal

    @property
    def is_under_way(self) -> bool:
        return self._read("plan") is not None and self._read("done") is None

    def plan(self, start: Start) -> None:
        """Decides what is read, once and for all. Without an event to read there is no bootstrap."""
        if start.archived is None or start.kafka is None:
            return
        minutes = self._events(start.archived).groupBy("_minute").count().orderBy("_minute").collect()
        ends = _ends([(row[0], row[1]) for row in minutes])
        if ends:
            archived = start.archived
            noted = {"raw_version": archived.raw_version, "began": archived.began, "until": archived.until}
            self._note("plan", {**noted, "kafka": start.kafka, "ends": ends})

    def run(self, start_query: Callable[[DataFrame], StreamingQuery], is_stopping: Callable[[], bool]) -> None:
        """Feeds the archive's part, from where an earlier driver stopped, and hands over to Kafka.

        `start_query` starts the pipeline's query on decoded records. Raises StopRequestedError after a micro-batch when
        the driver is to stop, and the query's own exception when it fails.
        """
        plan = self._noted_plan()
        self._feed(plan, start_query, is_stopping)
        self._note_handover(plan)
        self.hand_over()

    def hand_over(self) -> None:
        """Rewrites the checkpoint as noted, where that is due: also what a killed driver had begun to."""
        noted = self._read("handover")
        if noted is None or not self.is_under_way:
            return
        batch, first = int(noted["batch"]), json.dumps(noted["first"])
        # As Spark writes it: see Checkpoint.first_offsets.
        self._rewrite(f"{self._uri}/sources/0", "0", f"\0v1\n{first}")
        self._rewrite(f"{self._uri}/offsets", str(batch), noted["entry"])
        self._journal.add(bootstrap_line(Checkpoint(self._files, self._uri), batch, datetime.now(timezone.utc)))
        self._note("done", {"batch": batch})
        self._files.delete_folder(self._slices)
        print(f"millrace: bootstrap: done by micro-batch {batch}, Kafka goes on after it", flush=True)

    def _feed(
        self, plan: Plan, start_query: Callable[[DataFrame], StreamingQuery], is_stopping: Callable[[], bool]
    ) -> None:
        events = self._events(plan.archived).sort("_minute").persist(StorageLevel.DISK_ONLY)
        ensure_table(self._spark, events.drop("_minute").schema, self._slices, [])
        # A slice is one commit, so one micro-batch: the next is not written before it is processed.
        stream = self._spark.readStream.format("delta").option("maxFilesPerTrigger", _ALL_FILES).load(self._slices)
        query = start_query(stream)
        try:
            begin = None
            for number, end in enumerate(plan.ends):
                self._release(events, number, begin, end)
                query.processAllAvailable()
                print(f"millrace: bootstrap: slice {number + 1} of {len(plan.ends)}", flush=True)
                if is_stopping():
                    raise StopRequestedError("a bootstrap from the raw archive is under way; the next start goes on")
                begin = end
        finally:
            query.stop()
            events.unpersist()

    def _release(self, events: DataFrame, number: int, begin: Optional[int], end: int) -> None:
        """Delta skips a slice that an earlier driver released."""
        inside = F.col("_minute") < end if begin is None else (F.col("_minute") >= begin) & (F.col("_minute") < end)
        released = events.where(inside).drop("_minute").write.format("delta").mode("append")
        released.option("txnAppId", "bootstrap").option("txnVersion", number).save(self._slices)

    def _events(self, archived: Archived) -> DataFrame:
        """The records as the stream decodes them, from their bytes, with `_minute` of their event time."""
        raw = read_table(self._spark, self._raw, archived.raw_version)
        inside = F.lit(False)
        for partition, first in archived.began.items():
            offsets = (F.col("offset") >= first) & (F.col("offset") < archived.until[partition])
            inside = inside | ((F.col("partition") == partition) & offsets)
        records = raw.where(inside).select("value", "timestamp", "partition", "offset")
        minute = F.expr(f"floor(unix_seconds(event.`{self._pipeline.topic.event_time}`) / 60)")
        events = decode(records, self._pipeline.topic).where("event is not null")
        return events.select("event", "partition", "offset", minute.alias("_minute"))

    def _note_handover(self, plan: Plan) -> None:
        checkpoint = Checkpoint(self._files, self._uri)
        batch = max(checkpoint.committed())
        entry = self._files.read(f"{self._uri}/offsets/{batch}")
        lines = (entry or "").splitlines()
        # Delta's source notes the version that it reads next. The table's version 0 is empty, then come the slices.
        done = json.loads(lines[2])["reservoirVersion"] - 1 if len(lines) == 3 else 0
        if done < len(plan.ends) or f"{batch + 1}" in self._files.names(f"{self._uri}/offsets"):
            raise MillraceError(
                f"{self._uri}: micro-batch {batch} is not the last of the bootstrap (slices: {done} of"
                f" {len(plan.ends)}), so nothing was handed over; start the driver again"
            )
        topic = self._pipeline.topic.name
        lines = [*lines[:2], json.dumps({topic: plan.kafka})]
        first = {topic: {**plan.kafka, **plan.archived.began}}
        self._note("handover", {"batch": batch, "entry": "\n".join(lines), "first": first})

    def _rewrite(self, folder: str, name: str, text: str) -> None:
        # Hadoop's local file system keeps a checksum beside each file, and refuses one that does not fit.
        self._files.delete(f"{folder}/.{name}.crc")
        self._files.replace(f"{folder}/{name}", text)

    def _noted_plan(self) -> Plan:
        noted = self._read("plan")
        began, until, kafka = (
            {int(partition): int(offset) for partition, offset in noted[name].items()}
            for name in ("began", "until", "kafka")
        )
        return Plan(Archived(int(noted["raw_version"]), began, until), kafka, noted["ends"])

    def _note(self, name: str, content: Dict[str, Any]) -> None:
        """Whole or not at all."""
        self._files.create(f"{self._folder}/{name}.json", json.dumps(content))

    def _read(self, name: str) -> Any:
        text = self._files.read(f"{self._folder}/{name}.json")
        return None if text is None else json.loads(text)


def _ends(minutes: List[Any]) -> List[int]:
    """Where slices end, from (minute, events) in order: each has `SLICE_EVENTS` or, the last, fewer."""
    ends, events = [], 0
    for minute, count in minutes:
        events += count
        if events >= SLICE_EVENTS:
            ends.append(minute + 1)
            events = 0
    return [*ends, minutes[-1][0] + 1] if events else ends

"""Writing a pipeline's updates to its log: each micro-batch once, also when it is replayed."""

from __future__ import annotations

from functools import cached_property
from typing import Optional

from pyspark.sql import DataFrame
from pyspark.sql import functions as F

from jobs.checkpoint import Checkpoint, Offsets

__all__ = ["UpdateLog"]


class UpdateLog:
    """What a speed query does with each micro-batch: one append to `speed/<pipeline>`, with Delta's transaction ids."""

    def __init__(self, checkpoint: Checkpoint, uri: str, version: str) -> None:
        self._checkpoint = checkpoint
        self._uri = uri
        self._version = version
        self._may_be_replayed = True
        self._read_to: Optional[Offsets] = None

    def append(self, batch: DataFrame, batch_id: int) -> None:
        """Writes the micro-batch. Delta skips one that a killed driver had written before it could note so."""
        rows = batch.withColumn("_batch_id", F.lit(batch_id).cast("long"))
        rows = rows.withColumn("_version", F.lit(self._version))
        # Each that read records is followed by one that read none, which moves the watermark, once there is nothing to
        # read: most have no row, and a commit of nothing would be half of all commits of a stream that often waits.
        reads = self._read_records(batch_id)
        if reads and not self._may_be_replayed:
            self._write(rows, batch_id)
            return
        # A skipped write evaluates nothing, so no state would be committed, and Spark 4 fails such a micro-batch each
        # time. Only the first one after a start can be a replay.
        rows.persist()
        try:
            found = rows.count()
            # What has read records is in the log even without a row: nobody asks Kafka for them again.
            if reads or found:
                self._write(rows, batch_id)
        finally:
            rows.unpersist()
        self._may_be_replayed = False

    def _read_records(self, batch_id: int) -> bool:
        """Whether Kafka's offsets went on since the micro-batch before; true where that is not known."""
        planned = self._checkpoint.planned(batch_id)
        before, self._read_to = self._read_to, planned.end_offsets if planned else None
        return self._read_to is None or self._read_to != before

    def _write(self, rows: DataFrame, batch_id: int) -> None:
        (
            rows.write.format("delta")
            .mode("append")
            .option("txnAppId", self._query_id)
            .option("txnVersion", batch_id)
            .option("mergeSchema", "true")  # another version may have columns that this one lacks, or lack some
            .partitionBy("_interval")
            .save(self._uri)
        )

    @cached_property
    def _query_id(self) -> str:
        """What makes a replayed micro-batch recognisable."""
        return str(self._checkpoint.query_id())

"""Rewriting a stream's many small files into few, beside the query that writes them: see docs/decisions/0045."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import TYPE_CHECKING, Callable, Iterator

from pyspark.sql import SparkSession

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["Compaction"]

EVERY = 100
"""Micro-batches from one compaction to the next: about so many small files a reader finds at most in a partition."""

_MEGABYTE = 1 << 20
# Files below the first are rewritten, into files of up to the second. A file is rewritten until it has grown so large:
# with Delta's 1 GB for both, that would be every time for days.
_SIZES = {
    "spark.databricks.delta.optimize.minFileSize": str(32 * _MEGABYTE),
    "spark.databricks.delta.optimize.maxFileSize": str(128 * _MEGABYTE),
}
_GROUP = "millrace compaction"


class Compaction:
    """Of the Delta table at `uri`, in the partitions that `where` (SQL, asked each time) selects; empty: in all.

    Rows stay as they are, and readers of an older snapshot find its files until a vacuum. Delta's OPTIMIZE does the
    work, which conflicts with no append; of two at once, as of two versions' drivers, one fails and changes nothing.
    """

    def __init__(self, spark: SparkSession, uri: str, where: Callable[[], str] = str) -> None:
        self._spark = spark
        self._uri = uri
        self._where = where

    def run(self) -> None:
        """One compaction. Raises what Spark raises."""
        for name, size in _SIZES.items():
            self._spark.conf.set(name, size)
        where = self._where()
        self._spark.sql(f"OPTIMIZE delta.`{self._uri}`" + (f" WHERE {where}" if where else "")).collect()

    @contextmanager
    def beside(self, running: StreamingQuery) -> Iterator[None]:
        """Compacts every `EVERY` micro-batches of the query, from a thread, for the block.

        A failure is printed and tried again later: the query does not depend on it.
        """
        is_done = threading.Event()
        thread = threading.Thread(target=self._go_on, args=(running, is_done), name="compaction", daemon=True)
        thread.start()
        try:
            yield
        finally:
            is_done.set()
            self._spark.sparkContext.cancelJobGroup(_GROUP)
            thread.join(10)

    def _go_on(self, running: StreamingQuery, is_done: threading.Event) -> None:
        self._spark.sparkContext.setJobGroup(_GROUP, f"compaction of {self._uri}", interruptOnCancel=True)
        compacted = 0
        while not is_done.wait(1):
            try:
                newest = _last_batch(running)
                compacted = compacted or newest
                if newest - compacted >= EVERY:
                    compacted = newest
                    self.run()
            except Exception as error:  # noqa: BLE001 - whatever Spark, Delta or a storage that is down raises
                if not is_done.is_set():
                    print(f"millrace: compaction of {self._uri}: {error}", flush=True)


def _last_batch(running: StreamingQuery) -> int:
    progress = running.lastProgress
    return int(progress["batchId"]) if progress else 0

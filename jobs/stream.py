"""Keeping one streaming query running: its lock, its progress journal, its graceful stop."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Callable, Optional

from pyspark.sql import SparkSession

from jobs.checkpoint import Checkpoint
from jobs.compaction import Compaction
from jobs.errors import StopRequestedError
from jobs.heartbeat import kept_alive
from jobs.lake import Lake
from jobs.lake_files import LakeFiles
from jobs.lock import HEARTBEAT, QueryLock
from jobs.lost_offsets import LostOffsetsError
from jobs.offsets_guard import OffsetsGuard
from jobs.progress import ProgressJournal

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["is_stop_requested", "run_stream"]

_GRACE = timedelta(seconds=60)


def run_stream(
    spark: SparkSession,
    query: str,
    checkpoint: str,
    owner: str,
    lake: Lake,
    start: Callable[[], StreamingQuery],
    guard: Optional[OffsetsGuard] = None,
    compaction: Optional[Compaction] = None,
) -> None:
    """Runs a query until a stop is requested for this owner. Holds the query's lock meanwhile.

    `checkpoint` is where its own lies: see `jobs.lake.Lake.checkpoint`. `guard` decides whether it may go on;
    `compaction` is of the table that it writes.

    Raises LockHeldError when another driver runs the query, LostOffsetsError when Kafka has lost what it was to read,
    and the query's own exception when it fails.
    """
    files = LakeFiles(spark)
    lock = QueryLock(files, lake.lock(query), query, owner)
    lock.acquire()
    try:
        journal = ProgressJournal(files, lake, query, Checkpoint(files, checkpoint))
        if guard:
            guard.settle()
        journal.recover()
        with kept_alive(lock):  # a bootstrap may come first
            if guard:
                guard.admit()
            running = start()
        print(f"millrace: query {query} runs: id {running.id}", flush=True)
        with compaction.beside(running) if compaction else nullcontext():
            is_stopping = partial(is_stop_requested, files, lake.stop_request(query), owner, lock.started_at)
            _attend(running, guard, lock, journal, is_stopping)
        journal.write(running)
    except StopRequestedError as stopped:
        print(f"millrace: stopped on request: {stopped}", flush=True)
    finally:
        lock.release()


def _attend(
    running: StreamingQuery,
    guard: Optional[OffsetsGuard],
    lock: QueryLock,
    journal: ProgressJournal,
    is_stopping: Callable[[], bool],
) -> None:
    """Until the query has ended, or is stopped because `is_stopping` says so. Raises what `run_stream` does."""
    while not _has_ended(running, guard):
        if datetime.now(timezone.utc) - lock.renewed_at >= HEARTBEAT:
            lock.renew()
            journal.write(running)
        if is_stopping():
            _stop(running)
            return


def _has_ended(running: StreamingQuery, guard: Optional[OffsetsGuard]) -> bool:
    """Looks for a second. Raises the query's exception, or what the guard says why it failed."""
    try:
        return bool(running.awaitTermination(1))
    except Exception as failure:  # StreamingQueryException, which Spark 3 and 4 keep in different places
        if guard:
            _explain(guard, failure)
        raise


def _explain(guard: OffsetsGuard, failure: Exception) -> None:
    try:
        guard.explain()
    except LostOffsetsError as lost:
        raise lost from failure
    except Exception as error:  # noqa: BLE001 - whatever a Kafka or a lake that is down raises: the failure counts
        print(f"millrace: why the query failed is not known: {error}", flush=True)


def is_stop_requested(files: LakeFiles, uri: str, owner: str, since: datetime) -> bool:
    """Whether this owner's driver, or since then any driver of the query, is asked to stop."""
    text = files.read(uri)
    if not text:
        return False
    request = json.loads(text)
    if request["owner"] == "*":
        return datetime.fromisoformat(request["requested_at"]) >= since
    return bool(request["owner"] == owner)


def _stop(running: StreamingQuery) -> None:
    """After the micro-batch under way, so that nothing is done twice; a stuck one is interrupted after a minute.

    A query that is behind has always one under way: it stops when that one has been followed by the next.
    """
    deadline = time.monotonic() + _GRACE.total_seconds()
    under_way = _ended_batches(running)
    while running.status["isTriggerActive"] and _ended_batches(running) == under_way and time.monotonic() < deadline:
        time.sleep(0.1)
    running.stop()
    print("millrace: stopped on request", flush=True)


def _ended_batches(running: StreamingQuery) -> int:
    """The number of the last micro-batch that has ended, -1 before the first."""
    progress = running.lastProgress
    return int(progress["batchId"]) if progress else -1

"""Holding a query's lock during work that cannot pause to renew it."""

from __future__ import annotations

import threading
from contextlib import contextmanager
from typing import Iterator

from py4j.protocol import Py4JJavaError

from jobs.errors import LockHeldError
from jobs.lock import HEARTBEAT, QueryLock

__all__ = ["held", "kept_alive"]


@contextmanager
def held(lock: QueryLock) -> Iterator[None]:
    """Holds the lock for the block, with a heartbeat from a thread.

    Raises LockHeldError at once when another driver holds it. One that takes over later is not noticed here: what the
    block writes must be exact without the lock, as everywhere.
    """
    lock.acquire()
    try:
        with kept_alive(lock):
            yield
    finally:
        lock.release()


@contextmanager
def kept_alive(lock: QueryLock) -> Iterator[None]:
    """Renews a lock that is held, from a thread, for the block."""
    is_done = threading.Event()
    heart = threading.Thread(target=_beat, args=(lock, is_done), name="heartbeat", daemon=True)
    heart.start()
    try:
        yield
    finally:
        is_done.set()
        heart.join()


def _beat(lock: QueryLock, is_done: threading.Event) -> None:
    while not is_done.wait(HEARTBEAT.total_seconds()):
        try:
            lock.renew()
        except LockHeldError:
            return
        except Py4JJavaError as error:  # the storage did not answer: the next beat may be in time
            print(f"millrace: heartbeat: {error.java_exception}", flush=True)

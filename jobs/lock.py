"""One driver per query: a lock file on the lake, with a heartbeat and an expiry.

The lock makes a second driver fail with a clear error. Exactness does not rest on it, but on checkpoints and
transaction identifiers, so a lock that is wrongly thought expired (clocks that differ by more than its expiry) costs
a clear error at worst, never an answer.
"""

from __future__ import annotations

import json
import os
import socket
import uuid
from datetime import datetime, timedelta, timezone
from typing import Any, Dict, Optional

from jobs.errors import LockHeldError
from jobs.lake_files import LakeFiles

__all__ = ["EXPIRY", "HEARTBEAT", "QueryLock"]

HEARTBEAT = timedelta(seconds=5)
EXPIRY = timedelta(seconds=30)


class QueryLock:
    """The lock of one query, held by this driver between `acquire` and `release`."""

    def __init__(self, files: LakeFiles, uri: str, query: str, owner: str) -> None:
        self._files = files
        self._uri = uri
        self._query = query
        self._owner = owner
        self._holder = uuid.uuid4().hex
        self.started_at = _now()
        self.renewed_at = self.started_at

    def acquire(self) -> None:
        """Takes the lock. Raises LockHeldError, which names the holder, while another driver's heartbeat is fresh."""
        place = self._uri
        while not self._files.create(place, self._content()):
            holder = self._read(place)
            if holder is None:
                continue
            if not _is_expired(holder):
                raise LockHeldError(self._refusal(holder))
            # Each holder has one successor: of several drivers that see the same expired lock, one creates this file.
            place = self._successor_of(holder["holder"])
        if place != self._uri:
            self._files.replace(self._uri, self._content())

    def renew(self) -> None:
        """Heartbeat. Raises LockHeldError when another driver has taken over: this one must stop."""
        holder = self._read(self._uri)
        if holder is None or not self._goes_on(holder["holder"]):
            raise LockHeldError(self._refusal(holder or {}))
        self.renewed_at = _now()
        self._files.replace(self._uri, self._content())

    def release(self) -> None:
        """Frees the query, unless another driver has taken over: the lock is that one's, whoever it names."""
        holder = self._read(self._uri)
        if holder is not None and holder["holder"] == self._holder and not self._has_successor(self._holder):
            self._files.delete(self._uri)

    def _goes_on(self, holder: str) -> bool:
        """Whether this driver does, where the lock names `holder`.

        A driver that falls asleep within its heartbeat writes it when it wakes up, over that of its successor: the lock
        is still the successor's, who writes its own again, and the other one finds that.
        """
        if holder == self._holder:
            return True
        return self._has_successor(holder) and not self._has_successor(self._holder)

    def _has_successor(self, holder: str) -> bool:
        return self._files.exists(self._successor_of(holder))

    def _successor_of(self, holder: str) -> str:
        return f"{self._uri.rpartition('/')[0]}/successors/{holder}.json"

    def _content(self) -> str:
        now = _now()
        content = {
            "query": self._query,
            "owner": self._owner,
            "holder": self._holder,
            "host": socket.gethostname(),
            "pid": os.getpid(),
            "started_at": self.started_at.isoformat(),
            "heartbeat_at": now.isoformat(),
            "expires_at": (now + EXPIRY).isoformat(),
        }
        return json.dumps(content)

    def _read(self, uri: str) -> Optional[Dict[str, Any]]:
        text = self._files.read(uri)
        if text is None:
            return None
        try:
            found: Dict[str, Any] = json.loads(text)
        except ValueError:
            # Between its creation and its first byte, or cut off there by a crash: held as long as a whole one.
            written = self._files.modified_at(uri)
            return None if written is None else _unreadable(written)
        return found

    def _refusal(self, holder: Dict[str, Any]) -> str:
        return (
            f"query {self._query!r} is run by owner {holder.get('owner', 'unknown')!r} (host {holder.get('host')}, pid"
            f" {holder.get('pid')}, heartbeat {holder.get('heartbeat_at')}); a query has one driver: stop that one, or"
            f" wait {EXPIRY.total_seconds():.0f} s after its last heartbeat ({self._uri})"
        )


def _unreadable(written: datetime) -> Dict[str, Any]:
    unknown = f"unreadable-{int(written.timestamp() * 1000)}"
    return {"holder": unknown, "heartbeat_at": written.isoformat(), "expires_at": (written + EXPIRY).isoformat()}


def _is_expired(holder: Dict[str, Any]) -> bool:
    if holder.get("host") == socket.gethostname() and not _is_alive(int(holder["pid"])):
        return True
    return datetime.fromisoformat(holder["expires_at"]) < _now()


def _is_alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _now() -> datetime:
    return datetime.now(timezone.utc)

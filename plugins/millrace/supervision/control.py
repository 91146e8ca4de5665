"""The notes about a query that lie on the lake: who supervises it, and whether it is asked to stop."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Protocol

from jobs.lake import Lake
from millrace.platforms.protocol import RunningJob
from millrace.supervision.generation import Generation

__all__ = ["Notes", "StopRequest", "StreamControl", "Watch", "followed_stream", "note_followed_stream"]

_EVERYBODY = "*"
_SUPERVISOR = "supervisor"
_LAKE = Lake("")


class Notes(Protocol):
    """Small JSON files, by their path below the lake's root."""

    def read_json(self, path: str) -> dict[str, Any] | None: ...

    def write_json(self, path: str, content: dict[str, Any]) -> object: ...

    def delete(self, path: str) -> object: ...


def followed_stream(notes: Notes, query: str) -> str | None:
    """The stream whose driver the task of this query supervised last; None where a query is its own stream."""
    found = notes.read_json(_LAKE.stream(query))
    return None if found is None else str(found["stream"])


def note_followed_stream(notes: Notes, query: str, stream: str) -> None:
    """From now on the task of this query supervises the driver of this stream."""
    notes.write_json(_LAKE.stream(query), {"stream": stream, "since": datetime.now(UTC).isoformat()})


@dataclass(frozen=True)
class StopRequest:
    """A request that the driver with this `owner`, or every driver ("*"), stops after its micro-batch.

    One that `by_supervisor` makes is followed by a restart wherever somebody still supervises the query.
    """

    owner: str
    reason: str
    by_supervisor: bool = False

    def targets(self, owner: str) -> bool:
        return self.owner in (_EVERYBODY, owner)


@dataclass(frozen=True)
class Watch:
    """The driver that was started or adopted last, by whom, and how many quick failures in a row were before it."""

    job_id: str
    owner: str
    supervisor: Generation
    failures: int


class StreamControl:
    """The notes of one query. Every method talks to the lake and blocks."""

    def __init__(self, notes: Notes, query: str) -> None:
        self._notes = notes
        self._stop = _LAKE.stop_request(query)
        self._supervisor = _LAKE.stop_request(query).replace("stop.json", "supervisor.json")

    def stop_request(self) -> StopRequest | None:
        """The request that lies there, for whomever; one that cannot be read is none."""
        found = self._notes.read_json(self._stop) or {}
        if not isinstance(found.get("owner"), str):
            return None
        return StopRequest(found["owner"], str(found.get("reason", "")), found.get("requested_by") == _SUPERVISOR)

    def request_stop(self, owner: str, reason: str, *, by_supervisor: bool = False) -> None:
        """Ask the driver `owner` ("*": whichever runs) to stop after its micro-batch."""
        by = _SUPERVISOR if by_supervisor else "person"
        at = datetime.now(UTC).isoformat()
        self._notes.write_json(self._stop, {"owner": owner, "reason": reason, "requested_by": by, "requested_at": at})

    def withdraw_stop(self) -> None:
        """Remove a request, before a new driver starts: it was meant for an earlier one."""
        if self._notes.read_json(self._stop) is not None:
            self._notes.delete(self._stop)

    def watch(self) -> Watch | None:
        """What was noted last; None before the query's first driver."""
        found = self._notes.read_json(self._supervisor)
        if not found:
            return None
        supervisor = Generation.parse(str(found["supervisor"]))
        return Watch(str(found["job_id"]), str(found["owner"]), supervisor, int(found.get("failures", 0)))

    def supervisor(self, job: RunningJob) -> Generation:
        """Who supervises `job`: who adopted it last, else who submitted it."""
        watch = self.watch()
        return watch.supervisor if watch and watch.job_id == job.id else Generation.parse(job.owner)

    def supervise(self, job: RunningJob, generation: Generation, failures: int = 0) -> None:
        """From now on `generation` supervises `job`: an earlier supervisor must not stop it."""
        note = {"job_id": job.id, "owner": job.owner, "supervisor": str(generation), "failures": failures}
        self._notes.write_json(self._supervisor, note | {"since": datetime.now(UTC).isoformat()})

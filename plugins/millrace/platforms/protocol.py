"""What Millrace asks of a place where Spark runs; one implementation per file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import StrEnum
from typing import Protocol

from jobs.errors import MillraceError

__all__ = ["JobCode", "JobState", "JobStatus", "RunningJob", "SparkJob", "SparkPlatform", "UnknownJobError"]

STOP_GRACE = timedelta(seconds=10)


class UnknownJobError(MillraceError):
    """The platform knows no such job, or not any more. Nothing else says so: a login that is refused may be renewed."""


class JobState(StrEnum):
    """Where a job is. LOST: it ended, and how is unknown (the machine went down, or its watcher was killed)."""

    RUNNING = "running"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    CANCELLED = "cancelled"
    LOST = "lost"


@dataclass(frozen=True)
class JobCode:
    """The code that a job runs: that of a version of a pipeline (its name)."""

    pipeline: str
    version: str


@dataclass(frozen=True)
class SparkJob:
    """A run of `jobs/driver.py` with these arguments, from `code`; None: from this checkout.

    At most one live job has a given `name`. `owner` is the token of whoever submits it; for a stream it is the
    driver's `--owner` too. `conf` adds Spark settings. Neither `arguments` nor `conf` may hold a secret.
    `task_slots`: how many of its tasks run at once, for as long as it does: it is in real-time mode, where fewer slots
    leave partitions unread; 0: it works in micro-batches, with as many as there are.
    """

    name: str
    arguments: tuple[str, ...]
    owner: str
    conf: Mapping[str, str] = field(default_factory=dict)
    code: JobCode | None = None
    task_slots: int = 0


@dataclass(frozen=True)
class RunningJob:
    """A live job: `id` is the platform's, `owner` and `arguments` are those that it was submitted with."""

    id: str
    name: str
    owner: str
    arguments: tuple[str, ...]


@dataclass(frozen=True)
class JobStatus:
    """The state of a job. `exit_code` is the driver's, None while it runs and where it is unknown."""

    state: JobState
    started_at: datetime
    ended_at: datetime | None = None
    exit_code: int | None = None

    @property
    def uptime(self) -> timedelta:
        """How long the job has run, or ran."""
        return (self.ended_at or datetime.now(UTC)) - self.started_at


class SparkPlatform(Protocol):
    """Where Spark runs. Every method blocks until the platform has answered, and may be called from any process."""

    def submit(self, job: SparkJob) -> RunningJob:
        """Start `job`; where a job of its name lives already, that one is returned: compare the `owner`.

        Raises MillraceError where the platform refuses it.
        """
        ...

    def find(self, name: str) -> RunningJob | None:
        """The live job of this name."""
        ...

    def live_jobs(self) -> list[RunningJob]:
        """Every live job of the environment, oldest first."""
        ...

    def last_job(self, name: str) -> str | None:
        """The id of the stream's job that was submitted last, live or not; None where the platform knows none."""
        ...

    def log_place(self, job_id: str) -> str:
        """Where a person finds all that the driver wrote; raises as `state`."""
        ...

    def state(self, job_id: str) -> JobStatus:
        """Where the job is; raises UnknownJobError for an id that the platform does not know (any more).

        Anybody may look: it changes nothing.
        """
        ...

    def settled_state(self, job_id: str) -> JobStatus:
        """The same, for who supervises the job: once it has ended, the platform does not start it again by itself."""
        ...

    def cancel(self, job_id: str, grace: timedelta = STOP_GRACE) -> None:
        """End the job by force when `grace` has not ended it; returns when it has ended. An ended job is left alone."""
        ...

    def logs(self, job_id: str, tail: int) -> list[str]:
        """The last `tail` lines that the driver wrote, oldest first; empty where there are none."""
        ...

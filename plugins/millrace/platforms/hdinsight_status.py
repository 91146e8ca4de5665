"""How a job is, by what YARN or Livy say of it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any

from millrace.platforms.protocol import JobState, JobStatus

__all__ = ["status_of_application", "status_of_batch"]

# YARN has no field for a driver's exit code; its diagnostics hold what Spark's application master, or YARN, wrote.
_EXIT_CODES = (re.compile(r"exited with (?:status )?(-?\d+)"), re.compile(r"exitCode: (-?\d+)"))
_ENDED_BATCH = ("dead", "error", "killed", "success")


def status_of_application(application: Mapping[str, Any], started_at: datetime) -> JobStatus:
    """By YARN's description of an application, whose `state` is YARN's view and `finalStatus` the application's own."""
    state, final = application["state"], application["finalStatus"]
    if state not in ("FINISHED", "FAILED", "KILLED"):
        return JobStatus(JobState.RUNNING, started_at)
    ended_at = datetime.fromtimestamp(application["finishedTime"] / 1000, UTC)
    if "KILLED" in (state, final):
        return JobStatus(JobState.CANCELLED, started_at, ended_at)
    if final == "SUCCEEDED":
        return JobStatus(JobState.SUCCEEDED, started_at, ended_at, 0)
    return JobStatus(JobState.FAILED, started_at, ended_at, _exit_code(application.get("diagnostics", "")))


def status_of_batch(batch: Mapping[str, Any], started_at: datetime) -> JobStatus:
    """By Livy's description of a batch that YARN knows nothing of: it is being submitted, or that failed."""
    if batch["state"] in _ENDED_BATCH:
        return JobStatus(JobState.FAILED, started_at, datetime.now(UTC))
    return JobStatus(JobState.RUNNING, started_at)


def _exit_code(diagnostics: str) -> int | None:
    found = (pattern.search(diagnostics) for pattern in _EXIT_CODES)
    return next((int(match[1]) for match in found if match), None)

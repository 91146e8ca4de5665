"""Waiting for a job to end without holding up the triggerer's event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Protocol

from millrace.platforms.protocol import JobState, JobStatus, SparkPlatform, UnknownJobError

__all__ = ["job_end"]

_MAX_UNKNOWN = 3


class Log(Protocol):
    """Where warnings go."""

    def warning(self, message: str, /, *args: object) -> object: ...


async def job_end(
    platform: Callable[[], SparkPlatform], job_id: str, log: Log, *, settle: timedelta, poll: timedelta
) -> JobStatus:
    """How the job ended. It is asked for every `poll`, first after `settle`: Airflow marks a try as failed whose
    trigger answers before the scheduler has seen the worker go that deferred it, which takes seconds under load.

    A platform that does not answer, or refuses the login, is asked again, for ever: the job may live. One that it has
    forgotten is LOST.
    """
    unknown, wait = 0, settle
    while True:
        await asyncio.sleep(wait.total_seconds())
        wait = poll
        try:
            status = await asyncio.to_thread(lambda: platform().settled_state(job_id))
        except UnknownJobError as error:
            unknown += 1
            log.warning("%s", error)
            if unknown >= _MAX_UNKNOWN:
                now = datetime.now(UTC)
                return JobStatus(JobState.LOST, now, now)
            continue
        except Exception as error:  # noqa: BLE001 - whatever a client of the platform raises
            log.warning("job %s: its platform does not answer (%s); asking again", job_id, error)
            continue
        unknown = 0
        if status.state is not JobState.RUNNING:
            return status

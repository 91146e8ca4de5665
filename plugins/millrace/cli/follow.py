"""Running a Spark job to its end, and following its log meanwhile."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from datetime import timedelta

import typer

from jobs.errors import MillraceError
from millrace.platforms.protocol import JobState, JobStatus, SparkJob, SparkPlatform

__all__ = ["follow", "new_lines", "owner_token", "run_to_end"]

_POLL_S = 0.5
_WINDOW = 1000


def owner_token(command: str) -> str:
    """Names this process as the owner of what it submits."""
    return f"cli-{command}-{os.getpid()}-{time.time_ns() // 1_000_000}.1"


def follow(platform: SparkPlatform, job_id: str, *, quiet: bool = False) -> JobStatus:
    """How the job ended; until then its log goes to stderr, unless `quiet`. Ctrl-C raises KeyboardInterrupt."""
    seen: list[str] = []
    while True:
        status = platform.settled_state(job_id)  # before the log: its last lines are not missed
        window = [] if quiet else platform.logs(job_id, _WINDOW)
        for line in new_lines(seen, window):
            typer.echo(line, err=True)
        seen = window or seen
        if status.state is not JobState.RUNNING:
            return status
        time.sleep(_POLL_S)


def run_to_end(platform: SparkPlatform, job: SparkJob, verbose: bool) -> None:
    """Submits the job and waits; `verbose`: with its log on stderr. Ctrl-C cancels it.

    Raises MillraceError, with the end of the driver's log, where the job does not succeed.
    """
    from millrace.interrupt import interruptible

    running = platform.submit(job)
    try:
        with interruptible():
            status = follow(platform, running.id, quiet=not verbose)
    except KeyboardInterrupt:
        platform.cancel(running.id, timedelta(seconds=3))
        raise
    if status.state is not JobState.SUCCEEDED:
        tail = "\n".join(platform.logs(running.id, 30))
        raise MillraceError(
            f"job {running.id}: {status.state} with exit code {status.exit_code}; correct the cause and run it again. "
            f"Its log ends with:\n{tail}"
        )


def new_lines(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    """What `now`, the end of a log, holds after `before`, an earlier end of it."""
    for kept in range(min(len(before), len(now)), -1, -1):
        if list(before[len(before) - kept :]) == list(now[:kept]):
            yield from now[kept:]
            return

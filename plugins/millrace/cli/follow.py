"""Following a Spark job's log until the job has ended."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence

import typer

from millrace.platforms.protocol import JobState, JobStatus, SparkPlatform

__all__ = ["follow", "new_lines", "owner_token"]

_POLL_S = 0.5
_WINDOW = 1000


def owner_token(command: str) -> str:
    """Names this process as the owner of what it submits."""
    return f"cli-{command}-{os.getpid()}-{time.time_ns() // 1_000_000}.1"


def follow(platform: SparkPlatform, job_id: str, *, quiet: bool = False) -> JobStatus:
    """How the job ended; until then its log goes to stderr, unless `quiet`. Ctrl-C raises KeyboardInterrupt."""
    seen: list[str] = []
    while True:
        status = platform.state(job_id)  # before the log: its last lines are not missed
        window = [] if quiet else platform.logs(job_id, _WINDOW)
        for line in new_lines(seen, window):
            typer.echo(line, err=True)
        seen = window or seen
        if status.state is not JobState.RUNNING:
            return status
        time.sleep(_POLL_S)


def new_lines(before: Sequence[str], now: Sequence[str]) -> Iterator[str]:
    """What `now`, the end of a log, holds after `before`, an earlier end of it."""
    for kept in range(min(len(before), len(now)), -1, -1):
        if list(before[len(before) - kept :]) == list(now[:kept]):
            yield from now[kept:]
            return

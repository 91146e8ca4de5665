"""What to do when a stream's driver has ended: nothing, start it again, or give up."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from millrace.platforms.protocol import JobState, JobStatus
from millrace.supervision.control import StopRequest
from millrace.supervision.driver_log import error_line, excerpt

__all__ = ["GiveUp", "Restart", "RestartPolicy", "Stopped", "judge"]

BAD_DECLARATION = 2
LOCK_HELD = 3
LOST_OFFSETS = 4
_PERMANENT = frozenset({BAD_DECLARATION, LOST_OFFSETS})
_REMEDIES = {
    BAD_DECLARATION: "correct the declaration or the arguments that the line names, then clear this task",
    LOCK_HELD: "another driver runs this query: stop that one, or wait until its lock expires, then clear this task",
    LOST_OFFSETS: "do what the line says, then clear this task: nothing is skipped until somebody accepts the loss",
    127: "spark-submit cannot be started: run `make setup`, then clear this task",
    137: "it was killed, perhaps for want of memory: look at the system's log, then clear this task",
}
_REMEDY = "correct the cause that the log below shows, then clear this task"


@dataclass(frozen=True)
class RestartPolicy:
    """Restarts wait `first_delay`, then twice as long each time, up to `max_delay`.

    A driver that ran for `stable_after` or longer was well: the next end counts as the first. The query is given up
    when `max_quick_failures` drivers in a row ended sooner.
    """

    first_delay: timedelta = timedelta(seconds=5)
    max_delay: timedelta = timedelta(minutes=5)
    stable_after: timedelta = timedelta(minutes=10)
    max_quick_failures: int = 5

    def delay(self, failures: int) -> timedelta:
        """The wait after this many quick failures in a row, 1 or more."""
        doublings: int = 2 ** min(failures - 1, 30)
        return min(self.first_delay * doublings, self.max_delay)


@dataclass(frozen=True)
class Stopped:
    """Somebody asked for it: stay stopped."""

    why: str


@dataclass(frozen=True)
class Restart:
    """Start again after `delay`, with so many quick failures in a row behind it."""

    delay: timedelta
    failures: int
    why: str


@dataclass(frozen=True)
class GiveUp:
    """Stay failed."""

    why: str


def judge(
    query: str,
    status: JobStatus,
    *,
    stop: StopRequest | None,
    failures: int,
    policy: RestartPolicy,
    log: Sequence[str],
) -> Stopped | Restart | GiveUp:
    """What follows from the end of a driver that `stop` targets, after `failures` quick failures in a row.

    `log` is the end of the driver's log.
    """
    if stop and (status.exit_code == 0 or status.state is JobState.CANCELLED):
        if stop.by_supervisor:
            return Restart(timedelta(0), 0, f"query {query}: stopped to be started again ({stop.reason})")
        return Stopped(f"query {query}: stopped on request ({stop.reason or 'no reason given'})")
    ended = f"query {query}: its driver {_how(status)} after {_text(status.uptime)}"
    if status.exit_code in _PERMANENT:
        return GiveUp(_message(f"{ended}; starting it again would not help", status, log))
    failures = 1 if status.uptime >= policy.stable_after else failures + 1
    if failures >= policy.max_quick_failures:
        rule = f"{failures} drivers in a row ended within {_text(policy.stable_after)}, the limit"
        return GiveUp(_message(f"{ended}; {rule} is {policy.max_quick_failures}", status, log))
    delay = policy.delay(failures)
    count = f"quick failure {failures} of {policy.max_quick_failures}"
    return Restart(delay, failures, f"{ended}: {error_line(log)}; {count}, starting again in {_text(delay)}")


def _message(what: str, status: JobStatus, log: Sequence[str]) -> str:
    remedy = _REMEDIES.get(status.exit_code or -1, _REMEDY)
    tail = "\n".join(excerpt(log))
    return f"{what}; last error: {error_line(log)}; {remedy}. The driver's log ends with:\n{tail}"


def _how(status: JobStatus) -> str:
    if status.state is JobState.LOST:
        return "was lost (killed together with its watcher, or the machine went down)"
    if status.state is JobState.CANCELLED:
        return "was cancelled"
    if status.exit_code == 0:
        return "ended by itself (exit code 0), though nobody asked it to stop,"
    return f"ended with exit code {status.exit_code}"


def _text(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"

"""Which try of which run supervises a stream: of two tries, the later one decides."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol

__all__ = ["Generation", "TaskTry", "asked_try", "is_fresh", "run_token", "safe"]


class TaskTry(Protocol):
    """What is used of a task instance."""

    run_id: str
    try_number: int
    max_tries: int
    map_index: int | None


@dataclass(frozen=True)
class Generation:
    """One try of a DAG run's task; its text is the owner token of the drivers that it submits."""

    run: str
    number: int

    def __str__(self) -> str:
        return f"{self.run}.{self.number}"

    @classmethod
    def of(cls, ti: TaskTry) -> Generation:
        """The generation of a task instance's current try."""
        return cls(run_token(ti), ti.try_number)

    @classmethod
    def parse(cls, token: str) -> Generation:
        """From its text; a token of somebody else becomes a run of its own."""
        run, _, number = token.rpartition(".")
        return cls(run, int(number)) if run and number.isdigit() else cls(token, 0)

    def may_stop(self, supervisor: Generation) -> bool:
        """Whether what `supervisor` supervises is this generation's to stop: its own, or an older try's."""
        return self.run == supervisor.run and self.number >= supervisor.number


def is_fresh(ti: TaskTry, retries: int) -> bool:
    """Whether a person asked for this try: the run's first, or the first after a clear; false for a retry."""
    return ti.try_number == asked_try(ti, retries)


def asked_try(ti: TaskTry, retries: int) -> int:
    """The number of the last try that a person asked for: the same for it and all its retries.

    A clear raises `max_tries` to the tries so far plus `retries`: Airflow itself finds the first try this way.
    """
    return ti.max_tries - retries + 1


def run_token(ti: TaskTry) -> str:
    """Names the DAG run, and of a mapped task the map index, in letters that are safe in paths."""
    return safe(ti.run_id if ti.map_index is None or ti.map_index < 0 else f"{ti.run_id}__{ti.map_index}")


def safe(text: str) -> str:
    """`text` for use in names and paths: letters, digits, `_` and `-`, at most 49, different for different texts."""
    digest = hashlib.sha256(text.encode()).hexdigest()[:8]
    return f"{re.sub(r'[^A-Za-z0-9]+', '_', text)[:40].strip('_')}-{digest}"

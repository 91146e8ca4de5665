"""The steps of the demonstration: several may be under way at once."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum

__all__ = ["Step", "StepState", "Steps"]


class StepState(StrEnum):
    """Where a step is."""

    WAITING = "waiting"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"


@dataclass
class Step:
    """One step; `began_s` and `ended_s` are seconds since the demonstration began."""

    title: str
    state: StepState = StepState.WAITING
    note: str = ""
    began_s: float | None = None
    ended_s: float | None = None


class Steps:
    """All steps, by key in their order; `on_change` hears of each change of a step's state or note."""

    def __init__(self, titles: Mapping[str, str]) -> None:
        self._began = time.monotonic()
        self.all = {key: Step(title) for key, title in titles.items()}
        self.on_change: Callable[[Step], None] = lambda step: None

    @property
    def elapsed_s(self) -> float:
        """Seconds since the demonstration began."""
        return time.monotonic() - self._began

    def seconds(self, step: Step) -> float | None:
        """How long the step took, or takes so far; None before it began."""
        return None if step.began_s is None else (step.ended_s or self.elapsed_s) - step.began_s

    def times(self) -> str:
        """How long all of it took so far, and each step, in one line; the first step is what only a first run needs."""
        first, *others = self.all.values()
        total, once = self.elapsed_s, self.seconds(first) or 0
        after = f", {total - once:.0f} s of them after {_name(first)}" if once >= 1 else ""
        told = ", ".join(f"{_name(step)} {self.seconds(step) or 0:.0f} s" for step in others)
        return f"took {total:.0f} s{after}: {told} (some at once)"

    def begin(self, key: str, note: str = "") -> None:
        """The step is under way; a second call only changes its note."""
        step = self.all[key]
        if step.began_s is None:
            step.began_s = self.elapsed_s
        self._set(step, StepState.RUNNING, note)

    def note(self, key: str, note: str) -> None:
        """Say how far the step is."""
        step = self.all[key]
        if step.note != note:
            self._set(step, step.state, note)

    def done(self, key: str, note: str = "") -> None:
        """The step has ended well."""
        self._end(key, StepState.DONE, note)

    def fail_running(self, note: str) -> None:
        """Whatever was under way has failed."""
        for key, step in self.all.items():
            if step.state is StepState.RUNNING:
                self._end(key, StepState.FAILED, note)

    def _end(self, key: str, state: StepState, note: str) -> None:
        step = self.all[key]
        step.ended_s = self.elapsed_s
        if step.began_s is None:
            step.began_s = step.ended_s
        self._set(step, state, note)

    def _set(self, step: Step, state: StepState, note: str) -> None:
        step.state, step.note = state, note
        self.on_change(step)


def _name(step: Step) -> str:
    """The title without what it has in brackets."""
    return step.title.partition(" (")[0]

"""What is printed: one line per fault, and the totals."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

from tests.faults.nemesis.fault import Struck

__all__ = ["Report"]

Say = Callable[[str], object]


@dataclass
class Report:
    """`say` gets each line as soon as it is known."""

    say: Say
    struck: list[Struck] = field(default_factory=list)
    left_out: dict[str, str] = field(default_factory=dict)
    """Why each fault that was to be done was not, by its name."""
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    def note(self, text: str) -> None:
        self.say(f"{self._at()} {text}")

    def fault(self, struck: Struck) -> None:
        self.struck.append(struck)
        what = f"fault {len(self.struck):2} {struck.name} [{struck.seconds:.0f} s]"
        self.say(f"{self._at()} {what}: {struck.proof} | after it: {struck.after}")

    def failed(self, name: str, error: Exception, troubles: Sequence[str]) -> None:
        self.failures.append(name)
        where = traceback.extract_tb(error.__traceback__)
        calls = " > ".join(f"{frame.name}:{frame.lineno}" for frame in where if "tests/faults" in frame.filename)
        self.say(f"{self._at()} FAILED: {name}: {error!r} ({calls})")
        for line in troubles:
            self.say(f"       {line}")

    def leave_out(self, name: str, why: str) -> None:
        self.left_out[name] = why
        self.say(f"{self._at()} not done: {name}: {why}")

    def totals(self, seed: int, *, allow_missing: bool) -> bool:
        """Says how many faults were done, failed and left out; whether that is well.

        A fault that was to be done and was not leaves its answer open: that is not well, unless it is allowed.
        """
        told = (
            f"seed {seed}, {len(self.struck)} faults done, {len(self.failures)} failed, {len(self.left_out)} not done"
        )
        if self.left_out:
            told += f" ({'; '.join(f'{name}: {why}' for name, why in sorted(self.left_out.items()))})"
        if self.failures:
            self.note(f"FAILED: {told}: {self.failures}")
        elif self.left_out and not allow_missing:
            self.note(f"INCOMPLETE: {told}; remove the obstacle, or accept this with --allow-missing")
        else:
            self.note(f"ok: {told}")
        return not self.failures and (allow_missing or not self.left_out)

    def _at(self) -> str:
        seconds = int(time.monotonic() - self.started)
        return f"{seconds // 60:3}:{seconds % 60:02}"

"""What died of the local stack and was started again: `<home>/restarts.json`, the newest of each process."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path

from millrace.home import Home
from millrace.stack.private_file import write_private

__all__ = ["Restart", "load_restarts", "record_restart"]


@dataclass(frozen=True)
class Restart:
    """The end of a process, seen at `at` (UTC), after so many `failures` in a row; `due`: None where it is given up."""

    name: str
    at: datetime
    error: str
    failures: int
    due: datetime | None

    def line(self) -> str:
        """In words, with the remedy where there is one."""
        then = "it is started again" if self.due else "it is given up; correct the cause, then run `millrace up`"
        count = "" if self.failures == 1 else f", soon after a start, {self.failures} times in a row"
        return f"{self.name}: ended by itself at {self.at.isoformat(timespec='seconds')}{count} ({self.error}); {then}"


def record_restart(home: Home, restart: Restart) -> None:
    """Replaces what was noted of the same process."""
    noted = {known.name: known for known in load_restarts(home)} | {restart.name: restart}
    write_private(_path(home), json.dumps([asdict(each) for each in noted.values()], default=datetime.isoformat))


def load_restarts(home: Home) -> list[Restart]:
    """The newest of each process, in no order; empty where all went well."""
    if not _path(home).exists():
        return []
    return [_restart(**each) for each in json.loads(_path(home).read_text(encoding="utf-8"))]


def _restart(name: str, at: str, error: str, failures: int, due: str | None) -> Restart:
    return Restart(name, datetime.fromisoformat(at), error, failures, datetime.fromisoformat(due) if due else None)


def _path(home: Home) -> Path:
    return home.root / "restarts.json"

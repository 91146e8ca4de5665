"""What is remembered about a started process, so that a later command can find and end it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import psutil

from millrace.home import Home
from millrace.stack.private_file import write_private

__all__ = ["ProcessRecord", "forget", "load_record", "load_records", "remember"]


@dataclass(frozen=True)
class ProcessRecord:
    """One started process. `pid` and `created` (seconds since the epoch) together never name another process."""

    name: str
    pid: int
    created: float
    endpoint: str = ""

    @property
    def is_running(self) -> bool:
        """Whether this very process lives; a zombie, which only waits to be reaped, does not."""
        return self.process() is not None

    def process(self) -> psutil.Process | None:
        """The living process, or None."""
        try:
            process = psutil.Process(self.pid)
            alive = abs(process.create_time() - self.created) < 1 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if alive else None


def remember(home: Home, record: ProcessRecord) -> None:
    """Write `<home>/run/<name>.json`."""
    write_private(_path(home, record.name), json.dumps(asdict(record)))


def forget(home: Home, name: str) -> None:
    """Remove the record; nothing happens where there is none."""
    _path(home, name).unlink(missing_ok=True)


def load_record(home: Home, name: str) -> ProcessRecord | None:
    """The record of the process `name`, running or not; None where none was started or it was stopped."""
    path = _path(home, name)
    if not path.exists():
        return None
    return ProcessRecord(**json.loads(path.read_text(encoding="utf-8")))


def load_records(home: Home) -> list[ProcessRecord]:
    """All records, oldest process first."""
    names = [path.stem for path in home.run.glob("*.json") if not path.name.startswith(".")]
    found = [record for name in names if (record := load_record(home, name))]
    return sorted(found, key=lambda record: record.created)


def _path(home: Home, name: str) -> Path:
    return home.run / f"{name}.json"

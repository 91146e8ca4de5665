"""What is kept about a local job: one folder each, and a lock that lives exactly as long as the job.

`alive` is locked before the job is announced, and the lock is inherited by the job's watcher and its JVM. The kernel
frees it when the last of them dies, however that happens: no process id is ever compared, so neither a reboot nor
a reused id can be taken for a live job.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from millrace.platforms.protocol import RunningJob, SparkJob

__all__ = ["JobFolder", "job_folders"]

_TAIL_BYTES_PER_LINE = 500


@dataclass(frozen=True)
class JobFolder:
    """The folder of one job; its name is the job's id."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def log(self) -> Path:
        """Standard output and error of the driver."""
        return self.path / "driver.log"

    @property
    def properties(self) -> Path:
        """The Spark settings, with the storage key: there only while the job lives."""
        return self.path / "spark.properties"

    @property
    def scratch(self) -> Path:
        """Temporary files: there only while the job lives."""
        return self.path / "tmp"

    def create(self, job: SparkJob) -> int:
        """Make the folder and lock it; returns the locked file's descriptor, to be inherited by the job."""
        self.path.mkdir(mode=0o700, parents=True)
        self.scratch.mkdir()
        record = {"name": job.name, "owner": job.owner, "arguments": job.arguments}
        self.write("job.json", record | {"started_at": datetime.now(UTC).isoformat()})
        descriptor = os.open(self.path / "alive", os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return descriptor

    def is_alive(self) -> bool:
        """Whether a process of the job lives."""
        try:
            with (self.path / "alive").open() as file:
                fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
        except FileNotFoundError:
            return False
        return False

    def running_job(self) -> RunningJob:
        """The job as it was submitted."""
        record = self.read("job.json")
        return RunningJob(self.id, record["name"], record["owner"], tuple(record["arguments"]))

    @property
    def session(self) -> int | None:
        """The session of the job's processes; written by the watcher, and by whoever submitted the job."""
        session: int | None = self.read("process.json").get("watcher") or self.read("session.json").get("session")
        return session

    def read(self, name: str) -> dict[str, Any]:
        """The JSON object in the file `name`; empty where there is none."""
        try:
            content: dict[str, Any] = json.loads((self.path / name).read_text(encoding="utf-8"))
        except FileNotFoundError:
            return {}
        return content

    def write(self, name: str, content: dict[str, Any]) -> None:
        """Write a JSON object in one step."""
        draft = self.path / f".{name}.{os.getpid()}"
        draft.write_text(json.dumps(content), encoding="utf-8")
        draft.replace(self.path / name)

    def tail(self, lines: int) -> list[str]:
        """The last lines of the log."""
        if lines < 1 or not self.log.exists():
            return []
        with self.log.open("rb") as file:
            size = file.seek(0, os.SEEK_END)
            start = max(0, size - lines * _TAIL_BYTES_PER_LINE)
            file.seek(start)
            text = file.read().decode("utf-8", errors="replace")
        found = text.splitlines()
        return (found[1:] if start and len(found) > 1 else found)[-lines:]

    def sweep(self) -> None:
        """Remove what an ended job needs no more: secrets and temporary files."""
        self.properties.unlink(missing_ok=True)
        shutil.rmtree(self.scratch, ignore_errors=True)

    def remove(self) -> None:
        """Remove the folder of an ended job."""
        shutil.rmtree(self.path, ignore_errors=True)


def job_folders(root: Path) -> Iterator[JobFolder]:
    """All jobs below `root`, oldest first (ids begin with the time)."""
    for path in sorted(root.glob("2*")):
        if path.is_dir():
            yield JobFolder(path)

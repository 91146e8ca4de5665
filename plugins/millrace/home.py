"""The data folder: everything that Millrace writes on this machine lies below it."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

__all__ = ["PROJECT_ROOT", "Home"]

PROJECT_ROOT = Path(__file__).resolve().parents[2]


@dataclass(frozen=True)
class Home:
    """The data folder at `root`, an absolute path; the folders below it are made by those who write there."""

    root: Path

    @classmethod
    def current(cls) -> Home:
        """The folder that the environment variable MILLRACE_HOME names, else `<project root>/.millrace`."""
        configured = os.environ.get("MILLRACE_HOME")
        return cls(Path(configured).expanduser().resolve() if configured else PROJECT_ROOT / ".millrace")

    @property
    def downloads(self) -> Path:
        """Jars and Azurite: shared by all homes of this checkout, unless MILLRACE_DOWNLOADS names another folder."""
        configured = os.environ.get("MILLRACE_DOWNLOADS")
        if configured:
            return Path(configured).expanduser().resolve()
        return PROJECT_ROOT / ".millrace" / "downloads"

    @property
    def stack_file(self) -> Path:
        """Ports and identities of the local stack, kept between starts (JSON, mode 0600)."""
        return self.root / "stack.json"

    @property
    def secrets(self) -> Path:
        """Generated keys and passwords (folder 0700, files 0600)."""
        return self.root / "secrets"

    @property
    def run(self) -> Path:
        """One JSON record per process that was started and not yet stopped."""
        return self.root / "run"

    @property
    def logs(self) -> Path:
        """Standard output and error of every process: `<name>.log`."""
        return self.root / "logs"

    @property
    def kafka(self) -> Path:
        """The broker's settings and its log segments."""
        return self.broker("kafka")

    def broker(self, name: str) -> Path:
        """The same of any broker of the stack, by its name."""
        return self.root / name

    @property
    def replication(self) -> Path:
        """What MirrorMaker runs with, and its log, below a folder for each environment."""
        return self.root / "replication"

    @property
    def azurite(self) -> Path:
        """The blobs of the emulated storage account."""
        return self.root / "azurite"

    @property
    def airflow(self) -> Path:
        """AIRFLOW_HOME: settings, database, task logs."""
        return self.root / "airflow"

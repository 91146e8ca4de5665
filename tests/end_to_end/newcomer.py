"""Somebody at a terminal, with a data folder of their own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

from millrace.home import Home
from tests.processes import mentioning

__all__ = ["Newcomer"]


class Newcomer:
    """Types `millrace` commands; each is a process of its own."""

    def __init__(self, home: Home) -> None:
        self.home = home
        self._environment = os.environ | {"MILLRACE_HOME": str(home.root), "PYTHONUNBUFFERED": "1"}
        self._environment.pop("MILLRACE_ENVIRONMENT", None)

    def run(self, *words: str) -> str:
        """A command that ends well; what it printed on stdout."""
        done = subprocess.run(
            self._command(*words), env=self._environment, capture_output=True, text=True, check=False, timeout=1200
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    def json(self, *words: str) -> Any:
        """What a command prints with `--json`."""
        return json.loads(self.run(*words, "--json"))

    def start(self, out: Path, *words: str) -> subprocess.Popen[bytes]:
        """A command that goes on; what it prints is written to `out`."""
        with out.open("wb") as file:
            return subprocess.Popen(self._command(*words), env=self._environment, stdout=file, stderr=file)

    def left(self) -> list[str]:
        """Processes that know the data folder."""
        return mentioning(str(self.home.root))

    @staticmethod
    def _command(*words: str) -> list[str]:
        return [sys.executable, "-c", f"from millrace.cli import main; main({list(words)!r})"]

"""DAGs of the project, run by Airflow's own rules in a process of their own, against the tests' Azure."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from millrace.home import PROJECT_ROOT

__all__ = ["DagRun", "DagRuns"]

_PROGRAM = Path(__file__).with_name("run_dag.py")


@dataclass(frozen=True)
class DagRun:
    """How a run ended: its state, and of each task its state and what it returned; and all that was written.

    A task goes by its id, one of several mapped instances by `id[map index]`.
    """

    state: str
    states: dict[str, str]
    returned: dict[str, Any]
    said: str

    def ended(self, *tasks: str) -> list[str]:
        """The states of these tasks."""
        return [self.states[task] for task in tasks]


class DagRuns:
    """Airflow's home is `folder`, the files are in `dags`; all else is as in this process at that time."""

    def __init__(self, folder: Path, dags: Path = PROJECT_ROOT / "dags") -> None:
        self._dags = dags
        self._env = os.environ | {
            "AIRFLOW_HOME": str(folder),
            "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
            "AIRFLOW__CORE__DAGS_FOLDER": str(dags),
            "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")]),
        }
        self._run("-m", "airflow", "db", "migrate", check=True)

    def run(self, name: str, form: Mapping[str, object]) -> DagRun:
        """A run of the DAG in `name`.py with these params, to its end; no task is tried again."""
        done = self._run(str(_PROGRAM), str(self._dags / f"{name}.py"), json.dumps(form))
        said = done.stdout + done.stderr
        told = [line for line in done.stdout.splitlines() if line.startswith("@")]
        assert told, said[-5000:]
        return DagRun(**json.loads(told[-1][1:]), said=said)

    def _run(self, *arguments: str, check: bool = False) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, env=self._env, cwd=PROJECT_ROOT, text=True, capture_output=True, check=check)

"""DAG files, parsed in a process of their own: see `parse_dags.py`."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from millrace.home import PROJECT_ROOT

__all__ = ["parse_dags"]


def parse_dags(files: Iterable[Path], home: Path, project: Path = PROJECT_ROOT) -> dict[str, Any]:
    """By file name: `errors`, `dags`, `cpu_seconds`, the `heavy` modules that it loads, and what it was `seen` to do.

    `home` is an empty folder for Airflow, and the current one. `project` is where `jobs` and `plugins` are.
    """
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MILLRACE"))}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(project), str(project / "plugins")])}
    command = [sys.executable, str(Path(__file__).with_name("parse_dags.py")), *map(str, files)]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found

"""Changed copies of the package `jobs`, as an earlier or a later checkout would hold it."""

from __future__ import annotations

import shutil
import subprocess
import sys
from pathlib import Path

from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.home import PROJECT_ROOT
from millrace.lake.code import package_zip
from millrace.lake.store import LakeStore

TRANSFORM = Path("pipelines/stock_high_low/transform.py")
TOPICS = Path("topics.py")


def copied_code(folder: Path, *changes: tuple[Path, str, str]) -> Path:
    """A copy of `jobs` below `folder`; a change is (file in it, what it says, what it is to say)."""
    copy = shutil.copytree(PROJECT_ROOT / "jobs", folder / "jobs", ignore=shutil.ignore_patterns("__pycache__"))
    for file, before, after in changes:
        text = (copy / file).read_text(encoding="utf-8")
        assert before in text
        (copy / file).write_text(text.replace(before, after), encoding="utf-8")
    return copy


def version_of(copy: Path) -> str:
    """What this code calls the version of `stock_high_low`."""
    code = (
        "from jobs.pipelines import find_pipeline; from jobs.version import fingerprint;"
        f"print(fingerprint(find_pipeline({stock_high_low.name!r})))"
    )
    # From its folder: Python looks there first.
    command, path = [sys.executable, "-B", "-c", code], {"PYTHONPATH": str(copy.parent)}
    return subprocess.run(command, check=True, capture_output=True, text=True, env=path, cwd=copy.parent).stdout.strip()


def keep(environment: Environment, copy: Path) -> str:
    """Puts the code on the lake, as the start of its stream from its own checkout does; its version."""
    version = version_of(copy)
    LakeStore(environment).write(Lake("").code(version), package_zip(copy))
    return version

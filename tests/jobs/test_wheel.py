"""The wheel that travels to clusters holds everything and asks for pyspark alone."""

from __future__ import annotations

import os
import subprocess
import sys
from email.parser import Parser
from pathlib import Path
from zipfile import ZipFile

import pytest

JOBS = Path(__file__).parents[2] / "jobs"


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "--target", "wheel", "--directory", str(folder)]
    subprocess.run(build, cwd=JOBS, check=True, capture_output=True)
    return next(folder.glob("*.whl"))


def test_it_requires_pyspark_alone(wheel: Path) -> None:
    with ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith("/METADATA"))
        metadata = Parser().parsestr(archive.read(name).decode())
    assert metadata.get_all("Requires-Dist") == ["pyspark>=3.3.1"]
    assert metadata["Requires-Python"] == ">=3.8"


def test_it_holds_every_module(wheel: Path) -> None:
    expected = {f"jobs/{path.relative_to(JOBS).as_posix()}" for path in JOBS.rglob("*.py")}
    with ZipFile(wheel) as archive:
        assert {name for name in archive.namelist() if name.endswith(".py")} == expected


def test_the_driver_runs_from_it(wheel: Path, tmp_path: Path) -> None:
    environment = {**os.environ, "PYTHONPATH": str(wheel)}
    help_text = subprocess.run(
        [sys.executable, "-m", "jobs.driver", "--help"], cwd=tmp_path, env=environment, check=True, capture_output=True
    )
    assert b"reprocess" in help_text.stdout

"""`make setup` says what a machine lacks, and how to get it, before it installs anything."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from millrace.home import PROJECT_ROOT

SCRIPT = PROJECT_ROOT / "infra" / "local" / "prerequisites.sh"
Check = Callable[..., tuple[int, str]]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A folder with all that the script finds by name: a sound Python, a sound Java, nothing else of the machine."""
    for tool in ("head", "sed"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    fake_python(tmp_path / "python", (3, 11, 7))
    fake_java(tmp_path / "java", "17.0.9")
    return tmp_path


@pytest.fixture
def check(path: Path, monkeypatch: pytest.MonkeyPatch) -> Check:
    """Runs the script; its exit code and what it says."""
    monkeypatch.delenv("JAVA_HOME", raising=False)

    def run(python: str = "python", **variables: str) -> tuple[int, str]:
        environment = {**os.environ, "PATH": str(path), **variables}
        ran = subprocess.run([SCRIPT, python], env=environment, capture_output=True, text=True, check=False)
        assert ran.stdout == ""
        return ran.returncode, ran.stderr

    return run


def fake_python(
    file: Path, version: tuple[int, int, int], lacks: str = "nothing", is_environment: bool = False
) -> None:
    """The Python of this test, but for its version, a module, and whether it is that of a virtual environment."""
    prefix = "'/an/environment'" if is_environment else "sys.base_prefix"
    script(
        file,
        f'[ "$1" = --version ] && echo Python {".".join(map(str, version))} && exit',
        f'exec {sys.executable} -c "import sys; sys.version_info = {version}; sys.prefix = {prefix}',
        f"sys.modules['{lacks}'] = None",
        '$2"',
    )


def fake_java(file: Path, version: str) -> None:
    script(file, f"echo 'openjdk version \"{version}\" 2026-07-21' >&2", "echo 'OpenJDK Runtime Environment' >&2")


def script(file: Path, *lines: str) -> None:
    file.write_text("\n".join(("#!/bin/sh", *lines, "")))
    file.chmod(0o755)


def test_a_machine_that_has_all_of_it_hears_nothing(check: Check, path: Path) -> None:
    assert check() == (0, "")
    fake_python(path / "python", (3, 13, 0))
    fake_java(path / "java", "21.0.5")
    assert check() == (0, "")


def test_no_python_at_all_is_told_with_how_to_get_one(check: Check) -> None:
    code, told = check("")
    assert code == 1
    for part in ("no Python 3.11, 3.12 or 3.13 is on the PATH", "apt install python3.11 python3.11-venv", "PYTHON="):
        assert part in told


def test_a_python_that_does_not_run_is_named(check: Check) -> None:
    code, told = check("/nowhere/python3")
    assert code == 1
    assert "'/nowhere/python3' does not run" in told


@pytest.mark.parametrize("version", [(3, 10, 13), (3, 14, 1)])
def test_another_python_is_told_what_is_supported_and_why(
    check: Check, path: Path, version: tuple[int, int, int]
) -> None:
    fake_python(path / "python", version)
    code, told = check()
    assert code == 1
    assert f"python is Python {'.'.join(map(str, version))}, which is not 3.11 to 3.13" in told
    assert "Airflow's Azure provider needs 3.11 or newer, and requirements.txt is made for versions up to 3.13" in told
    assert "Install Python 3.11 to 3.13" in told


@pytest.mark.parametrize("lacks", ["ensurepip", "venv"])
def test_a_python_that_cannot_make_environments_is_told_the_package_of_its_version(
    check: Check, path: Path, lacks: str
) -> None:
    fake_python(path / "python", (3, 12, 1), lacks)
    code, told = check()
    assert code == 1
    assert "has no module ensurepip or no module venv" in told
    assert "apt install python3.12-venv" in told
    fake_python(path / "python", (3, 12, 1), lacks, is_environment=True)
    assert check() == (0, ""), "one that is made already needs neither"


def test_no_java_is_told_with_how_to_get_one(check: Check, path: Path) -> None:
    code, told = check(JAVA_HOME="/nowhere")
    assert (code, "'/nowhere/bin/java' does not run" in told) == (1, True)
    (path / "java").unlink()
    code, told = check()
    assert code == 1
    assert "Java: 'java' does not run" in told
    assert "apt install openjdk-17-jre-headless" in told


@pytest.mark.parametrize("version", ["1.8.0_392", "11.0.21"])
def test_a_java_that_is_too_old_is_told_what_is_needed(check: Check, path: Path, version: str) -> None:
    fake_java(path / "java", version)
    code, told = check()
    assert code == 1
    assert f"'java' is version {version.partition('.')[0]}; Spark 4.2 needs 17 or 21" in told
    assert "apt install openjdk-17-jre-headless" in told


def test_a_java_that_nobody_has_tried_is_allowed_and_told(check: Check, path: Path) -> None:
    fake_java(path / "java", "25.0.1")
    assert check() == (0, "setup: Java 25 is untested here; 17 and 21 are known to work\n")

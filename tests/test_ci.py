"""What CI cannot test, it fails for; people go without, and are told."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


def run(command: list[str], **changed: str) -> tuple[int, str]:
    """Exit code and output, with an environment that has no CI of its own, and no make above it."""
    kept = {name: value for name, value in os.environ.items() if name != "CI" and "MAKE" not in name}
    done = subprocess.run(command, cwd=ROOT, env=kept | changed, text=True, capture_output=True, check=False)
    return done.returncode, done.stdout + done.stderr


def run_test(file: str, keyword: str, ends: str, **changed: str) -> str:
    """What pytest says of one test, whose run must end so: `1 skipped` is no failure, anything else is one."""
    command = [sys.executable, "-m", "pytest", "-q", "-rs", "-p", "no:cacheprovider", file, "-k", keyword]
    code, told = run(command, **changed)
    assert code == (0 if ends == "1 skipped" else 1), told
    assert ends in told
    return told


@pytest.mark.parametrize(("changed", "succeeds"), [({}, True), ({"CI": "1"}, False)])
def test_without_hdinsights_python_the_engine_is_not_tested_and_ci_fails(
    changed: dict[str, str], succeeds: bool
) -> None:
    code, told = run(["make", "test-spark33", "PYTHON33="], **changed)
    assert (code == 0) is succeeds, told
    assert "Spark 3.3 is not tested: it needs Python 3.8" in told
    assert "pyenv install 3.8" in told


@pytest.mark.parametrize(("changed", "ends"), [({}, "1 skipped"), ({"CI": "1"}, "1 error")])
def test_without_livys_jars_conformance_is_left_out_and_ci_fails(
    tmp_path: Path, changed: dict[str, str], ends: str
) -> None:
    told = run_test(
        "tests/conformance/test_short_form.py", "the_engine_is", ends, MILLRACE_DOWNLOADS=str(tmp_path), **changed
    )
    assert ("are not there; run" in told) or ("`make test` makes it" in told), "the remedy"


@pytest.fixture
def without_curl(tmp_path: Path) -> str:
    """A PATH with all tools of this machine but that."""
    for folder in reversed(os.environ["PATH"].split(os.pathsep)):
        for tool in Path(folder).iterdir() if Path(folder).is_dir() else ():
            (tmp_path / tool.name).unlink(missing_ok=True)
            (tmp_path / tool.name).symlink_to(tool)
    (tmp_path / "curl").unlink(missing_ok=True)
    return str(tmp_path)


@pytest.mark.parametrize(("changed", "ends"), [({}, "1 skipped"), ({"CI": "1"}, "1 failed")])
def test_without_curl_the_script_actions_are_left_out_and_ci_fails(
    without_curl: str, changed: dict[str, str], ends: str
) -> None:
    told = run_test("tests/infra/test_script_actions.py", "listen_everywhere", ends, PATH=without_curl, **changed)
    assert ("the scripts need curl" in told) or ("curl: command not found" in told)


def test_ci_says_that_it_is_ci() -> None:
    lines = (ROOT / ".ci" / "run").read_text().splitlines()
    assert "export CI=1" in lines
    assert lines.index("export CI=1") < lines.index("make test-long")

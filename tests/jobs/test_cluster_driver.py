"""The entry point on a YARN cluster: what the driver writes is kept, and its exit code stays."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.both_engines

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (
            ["redecode", "--topic", "no_such_topic", "--run", "r", "--lake", "file:///tmp"],
            "millrace: topic 'no_such_topic'",
        ),
        (["dance"], "invalid choice: 'dance'"),
    ],
)
def test_the_end_of_its_output_is_kept_and_its_exit_code_stays(tmp_path: Path, arguments: list, expected: str) -> None:
    command = [sys.executable, str(ROOT / "jobs" / "cluster_driver.py"), tmp_path.as_uri(), *arguments]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "SPARK_LOCAL_IP": "127.0.0.1"}
    done = subprocess.run(command, env=environment, capture_output=True, check=False, timeout=200)
    assert done.returncode == 2, done.stderr
    assert expected in (tmp_path / "driver.log").read_text()
    assert json.loads((tmp_path / "exit.json").read_text()) == {"code": 2}
    assert expected in done.stdout.decode(), "and goes where it went before"

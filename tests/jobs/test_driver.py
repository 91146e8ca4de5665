"""What a driver's command line refuses, and with which exit code: no Spark session is started for it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.both_engines

ROOT = Path(__file__).parents[2]
WHERE = ["--lake", "file:/nowhere", "--bootstrap", "127.0.0.1:1", "--owner", "me"]
RUN = ["--lake", "file:/nowhere", "--run", "r", "--version", "v", "--raw-version", "0", "--coverage", "{}"]


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["archive", "--topic", "ticks", *WHERE], "millrace: topic 'ticks' is not declared in jobs/topics.py; known: "),
        (
            ["speed", "--pipeline", "fraud", "--version", "v", *WHERE],
            "millrace: pipeline 'fraud' has no folder in jobs/pipelines; known: ",
        ),
        (
            ["reprocess", "--pipeline", "stock_high_low", "--interval", "20261120T010000Z", *RUN],
            "millrace: interval '20261120T010000Z' does not start an interval of 1 day, 0:00:00; use 20261120T000000Z",
        ),
        (
            ["speed", "--pipeline", "stock_high_low", "--version", "v", *WHERE],
            "millrace: pipeline 'stock_high_low': version v was asked for, but the code here is version ",
        ),
        (
            ["alerts", "--pipeline", "fraud", *WHERE],
            "millrace: pipeline 'fraud' has no folder in jobs/pipelines; known: ",
        ),
        (
            ["redecode", "--topic", "ticks", "--run", "r", "--lake", "file:/nowhere"],
            "millrace: topic 'ticks' is not declared in jobs/topics.py; known: ",
        ),
        (["archive", "--topic", "stock_ticks"], "driver.py archive: error: the following arguments are required"),
        ([], "driver.py: error: the following arguments are required: job"),
    ],
)
def test_wrong_arguments_exit_with_2_and_say_what_to_use(arguments, complaint):
    ended = subprocess.run(
        [sys.executable, str(ROOT / "jobs" / "driver.py"), *arguments],
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        universal_newlines=True,
        timeout=120,
    )
    assert ended.returncode == 2, ended.stderr
    assert complaint in ended.stderr

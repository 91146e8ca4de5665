"""Steps as they are shown."""

from __future__ import annotations

import io
import os
import signal
import subprocess
import sys
import time
from datetime import timedelta
from pathlib import Path

import pytest
from rich.console import Console

from millrace.demo.sample import sample_intervals
from millrace.demo.screen import show, steps_table
from millrace.demo.steps import Steps
from millrace.waiting import until
from tests.processes import mentioning


def test_without_a_terminal_each_change_is_a_line() -> None:
    steps, out = Steps({"one": "first step", "two": "second step"}), io.StringIO()
    with show(steps, Console(file=out, width=20)):
        steps.begin("one")
        steps.begin("two")
        steps.note("two", "1 of 3 [done]")
        steps.note("two", "1 of 3 [done]")
        steps.done("one", "all of it")
        steps.fail_running("")
    assert [line.partition("] ")[2] for line in out.getvalue().splitlines()] == [
        "first step: running",
        "second step: running",
        "second step: 1 of 3 [done]",
        "first step: done (0.0 s): all of it",
        "second step: failed (0.0 s)",
    ]


def test_on_a_terminal_all_steps_are_a_table() -> None:
    steps = Steps({"one": "first step", "two": "second step"})
    steps.done("one", "all of it")
    console = Console(file=io.StringIO(), width=80, record=True)
    console.print(steps_table(steps))
    lines = [line.split() for line in console.export_text().splitlines()]
    assert lines == [
        ["✓", "first", "step", "0.0", "s", "all", "of", "it"],
        ["·", "second", "step"],
        ["total", "0.0", "s"],
    ]


def test_the_times_tell_what_only_the_first_run_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    steps = Steps({"once": "downloads (once)", "one": "first step (its DAG)", "two": "second step"})
    for key, seconds in (("once", 60), ("one", 10), ("two", 30)):
        steps.begin(key)
        now[0] += seconds
        steps.done(key)
    assert steps.times() == (
        "took 100 s, 40 s of them after downloads: first step 10 s, second step 30 s (some at once)"
    )


def test_the_sample_begins_with_days_in_a_row_that_one_backfill_covers() -> None:
    first, second, third, *_ = sample_intervals(timedelta(days=1))
    assert (first.following(), second.following()) == (second, third)


@pytest.mark.stack
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_start_leaves_no_process_behind(number: int, tmp_path: Path) -> None:
    environment = os.environ | {"MILLRACE_HOME": str(tmp_path / "home"), "PYTHONUNBUFFERED": "1"}
    command = [sys.executable, "-c", "from millrace.cli import main; main(['demo'])"]
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as demo:
        airflow = tmp_path / "home" / "airflow" / "airflow.cfg"
        assert until(airflow.exists, timedelta(seconds=60))  # the database is being made, or processes started
        time.sleep(1)
        demo.send_signal(number)
        out, _ = demo.communicate(timeout=120)
    assert demo.returncode == 130
    assert "nothing is left running" in out
    assert mentioning(str(tmp_path)) == []

"""Processes outlive their starter, and nothing outlives `stop`."""

from __future__ import annotations

import dataclasses
import os
import signal
import subprocess
import sys
from datetime import timedelta
from pathlib import Path

import psutil
import pytest

from jobs.errors import MillraceError
from millrace.home import Home
from millrace.stack import process
from millrace.stack.process_record import ProcessRecord, load_record, remember

SHORT = timedelta(seconds=0.5)


def sh(home: Home, script: str, name: str = "probe") -> ProcessRecord:
    return process.start(home, name, ["/bin/sh", "-c", script])


def await_file(home: Home, record: ProcessRecord, path: Path) -> str:
    process.await_ready(home, [record], lambda: path.exists() and path.read_text().endswith("\n"))
    return path.read_text().strip()


def lives(pid: int) -> bool:
    return psutil.pid_exists(pid) and psutil.Process(pid).status() != psutil.STATUS_ZOMBIE


def test_starting_twice_keeps_the_first(home: Home) -> None:
    assert sh(home, "exec sleep 300") == sh(home, "exec sleep 300")


def test_it_outlives_the_command_that_started_it(home: Home) -> None:
    code = f"""
from pathlib import Path
from millrace.home import Home
from millrace.stack.process import start
start(Home(Path({str(home.root)!r})), "probe", ["sleep", "300"])
"""
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)
    assert process.is_running(home, "probe")
    assert process.stop(home, "probe")
    assert not process.is_running(home, "probe")


def test_stop_says_whether_anything_lived(home: Home) -> None:
    assert not process.stop(home, "never started")
    sh(home, "exec sleep 300")
    assert process.stop(home, "probe")
    assert not process.stop(home, "probe")


def test_an_early_end_shows_the_log(home: Home) -> None:
    record = sh(home, "echo no such setting: colour; exit 3")
    with pytest.raises(MillraceError, match=r"(?s)probe .* ended before it was ready.*no such setting: colour"):
        process.await_ready(home, [record], lambda: False)


def test_a_late_start_shows_the_log(home: Home) -> None:
    record = sh(home, "echo thinking; exec sleep 300")
    with pytest.raises(MillraceError, match=r"(?s)not ready after 0 s.*probe\.log ends with"):
        process.await_ready(home, [record], lambda: False, timeout=timedelta(milliseconds=200))


def test_a_deaf_process_is_killed(home: Home, tmp_path: Path) -> None:
    marker = tmp_path / "deaf"
    record = sh(home, f"trap '' TERM INT; echo on >{marker}; while :; do sleep 1; done")
    await_file(home, record, marker)
    process.stop(home, "probe", timeout=SHORT)
    assert not lives(record.pid)


def test_children_of_a_killed_parent_end_with_it(home: Home, tmp_path: Path) -> None:
    marker = tmp_path / "child"
    record = sh(home, f"sleep 300 & echo $! >{marker}; wait")
    child = int(await_file(home, record, marker))
    os.kill(record.pid, signal.SIGKILL)
    os.waitpid(record.pid, 0)
    assert lives(child), "the fault happened: the child is an orphan"
    assert not process.is_running(home, "probe")
    assert process.stop(home, "probe")
    assert not lives(child)


def test_orphans_of_a_crashed_predecessor_end_before_a_new_start(home: Home, tmp_path: Path) -> None:
    marker = tmp_path / "child"
    record = sh(home, f"sleep 300 & echo $! >{marker}; wait")
    child = int(await_file(home, record, marker))
    os.kill(record.pid, signal.SIGKILL)
    os.waitpid(record.pid, 0)
    assert sh(home, "exec sleep 300").pid != record.pid
    assert not lives(child)


def test_a_child_in_a_session_of_its_own_ends_too(home: Home, tmp_path: Path) -> None:
    marker = tmp_path / "child"
    record = sh(home, f"setsid sh -c 'echo $$ >{marker}; exec sleep 300' & wait")
    child = int(await_file(home, record, marker))
    process.stop(home, "probe", timeout=SHORT)
    assert not lives(child)


def test_a_process_with_a_name_of_its_own_is_left_alone(home: Home, tmp_path: Path) -> None:
    marker = tmp_path / "child"
    parent = sh(home, f"setsid sh -c 'echo $$ >{marker}; exec sleep 300' & wait", name="parent")
    child = int(await_file(home, parent, marker))
    remember(home, ProcessRecord("driver", child, psutil.Process(child).create_time()))
    process.stop(home, "parent", timeout=SHORT)
    assert lives(child)
    assert process.stop_all(home) == ["driver"]
    assert not lives(child)


def test_another_process_under_a_reused_id_is_not_touched(home: Home) -> None:
    stranger = subprocess.Popen(["sleep", "300"], start_new_session=True)
    try:
        created = psutil.Process(stranger.pid).create_time()
        remember(home, ProcessRecord("probe", stranger.pid, created - 3600))
        assert not process.is_running(home, "probe")
        process.stop(home, "probe", timeout=SHORT)
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()


def test_named_ones_end_last(home: Home, tmp_path: Path) -> None:
    log = tmp_path / "order"
    for name in ("broker", "writer"):
        marker = tmp_path / name
        trap = f"trap 'sleep 0.3; echo {name} >>{log}; exit' TERM; echo on >{marker}; while :; do sleep 0.05; done"
        await_file(home, sh(home, trap, name=name), marker)
    process.stop_all(home, last=("broker",))
    assert log.read_text().split() == ["writer", "broker"]


def test_output_goes_to_a_private_log_and_the_environment_can_be_changed(
    home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FOREIGN", "setting")
    record = process.start(home, "probe", ["env"], env={"FOREIGN": None, "OWN": "value"})
    with pytest.raises(MillraceError, match="OWN=value"):
        process.await_ready(home, [record], lambda: False)
    log = process.log_file(home, "probe")
    assert "FOREIGN" not in log.read_text()
    assert log.stat().st_mode & 0o777 == 0o600


def test_a_record_tells_what_was_started(home: Home) -> None:
    record = process.start(home, "probe", ["sleep", "300"], endpoint="127.0.0.1:1")
    assert load_record(home, "probe") == record == dataclasses.replace(record, endpoint="127.0.0.1:1")

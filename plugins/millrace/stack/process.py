"""Processes that outlive the command that started them, and end with everything that they started."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from datetime import timedelta
from pathlib import Path
from typing import IO

import psutil

from jobs.errors import MillraceError
from millrace.home import Home
from millrace.stack.file_lock import exclusive
from millrace.stack.process_record import ProcessRecord, forget, load_record, load_records, remember

__all__ = ["await_ready", "environment_with", "is_running", "log_file", "start", "stop", "stop_all"]

_POLL = timedelta(milliseconds=100)


def start(
    home: Home,
    name: str,
    command: Sequence[str],
    *,
    env: Mapping[str, str | None] | None = None,
    cwd: Path | None = None,
    endpoint: str = "",
) -> ProcessRecord:
    """Start `command` as the process `name` in a session of its own and record it; a running one is kept, also one
    that another process starts at this moment.

    `env` changes this process's environment, None takes a name out; secrets go there or into files, never
    into `command`.
    Standard output and error are appended to `<home>/logs/<name>.log`.
    """
    with exclusive(home.run / f".{name}.lock"):
        existing = load_record(home, name)
        if existing and existing.is_running:
            return existing
        if existing:
            stop(home, name)  # what a crashed predecessor left behind
        pid = _spawn(home, name, command, environment_with(env or {}), cwd)
        record = ProcessRecord(name, pid, psutil.Process(pid).create_time(), endpoint)
        remember(home, record)
        return record


def environment_with(changes: Mapping[str, str | None]) -> dict[str, str]:
    """This process's environment after `changes`, where None takes a name out."""
    merged = {**os.environ, **changes}
    return {name: value for name, value in merged.items() if value is not None}


def is_running(home: Home, name: str) -> bool:
    """Whether the recorded process `name` lives."""
    record = load_record(home, name)
    return record is not None and record.is_running


def await_ready(
    home: Home,
    records: Sequence[ProcessRecord],
    is_ready: Callable[[], bool],
    timeout: timedelta = timedelta(seconds=60),
) -> None:
    """Return as soon as `is_ready()`.

    Raises MillraceError, with the end of the log, when one of the processes ends first or `timeout` passes.
    """
    deadline = time.monotonic() + timeout.total_seconds()
    while not is_ready():
        for record in records:
            if not record.is_running:
                raise _not_ready(home, record, "ended before it was ready")
        if time.monotonic() > deadline:
            raise _not_ready(home, records[-1], f"was not ready after {timeout.total_seconds():.0f} s")
        time.sleep(_POLL.total_seconds())


def stop(home: Home, name: str, timeout: timedelta = timedelta(seconds=20), how: int = signal.SIGTERM) -> bool:
    """End the process `name` and all that it started, also when it crashed itself; True if anything lived.

    It gets the signal `how` and `timeout` to end; what it leaves behind gets SIGTERM and, 3 s later, SIGKILL.
    Processes started under a name of their own are left alone.
    """
    record = load_record(home, name)
    if record is None:
        return False
    members = _members(home, record)
    if leader := record.process():
        _signal([leader], how)
        _await_end([leader], timeout)
    _end(members)
    while stragglers := _members(home, record):  # born while the others ended
        _end(stragglers)
    _reap(record)
    forget(home, name)
    return bool(members)


def stop_all(home: Home, last: Sequence[str] = (), timeout: timedelta = timedelta(seconds=10)) -> list[str]:
    """End every recorded process, those named in `last` after the others; the names of those that lived.

    Each has `timeout` to end by itself, as in `stop`.
    """
    names = [record.name for record in reversed(load_records(home))]
    stopped: list[str] = []
    for wave in ([name for name in names if name not in last], [name for name in names if name in last]):
        with ThreadPoolExecutor(max_workers=len(wave) or 1) as pool:
            lived = list(pool.map(lambda name: stop(home, name, timeout), wave))
        stopped += [name for name, had_lived in zip(wave, lived, strict=True) if had_lived]
    return stopped


def log_file(home: Home, name: str) -> Path:
    """Where the output of the process `name` goes."""
    return home.logs / f"{name}.log"


def _spawn(home: Home, name: str, command: Sequence[str], env: Mapping[str, str], cwd: Path | None) -> int:
    with _open_log(home, name) as log:
        process = subprocess.Popen(
            list(command),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env=env,
            cwd=cwd,
            start_new_session=True,
        )
    process.returncode = 0  # it is to outlive this object: no warning when the object goes
    return process.pid


def _end(processes: Sequence[psutil.Process]) -> None:
    for number in (signal.SIGTERM, signal.SIGKILL):
        alive = [process for process in processes if _is_alive(process)]
        _signal(alive, number)
        _await_end(alive, timedelta(seconds=3))


def _await_end(processes: Sequence[psutil.Process], timeout: timedelta) -> None:
    """Not psutil's wait: a zombie whose parent never reaps it has ended as far as we care."""
    deadline = time.monotonic() + timeout.total_seconds()
    while any(_is_alive(process) for process in processes) and time.monotonic() < deadline:
        time.sleep(_POLL.total_seconds() / 2)


def _reap(record: ProcessRecord) -> None:
    with suppress(ChildProcessError):  # started by a command that has ended: not ours to reap
        os.waitpid(record.pid, os.WNOHANG)


def _members(home: Home, record: ProcessRecord) -> list[psutil.Process]:
    """The process, its session (which survives its death) and its descendants in sessions of their own."""
    others = {other.pid for other in load_records(home) if other.name != record.name}
    found = {process for process in psutil.process_iter() if _belongs(process, record)}
    if leader := record.process():
        found.update(_descendants(leader))
    return [process for process in found if _session(process) not in others and _is_alive(process)]


def _belongs(process: psutil.Process, record: ProcessRecord) -> bool:
    """A session id is not given away while a member lives, so an older or equal age proves membership."""
    if process.pid == record.pid:
        return record.is_running
    try:
        return _session(process) == record.pid and process.create_time() >= record.created
    except psutil.NoSuchProcess:
        return False


def _session(process: psutil.Process) -> int:
    try:
        return os.getsid(process.pid)
    except ProcessLookupError:
        return -1


def _descendants(process: psutil.Process) -> list[psutil.Process]:
    try:
        return process.children(recursive=True)
    except psutil.NoSuchProcess:
        return []


def _is_alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False


def _signal(processes: Sequence[psutil.Process], number: int) -> None:
    for process in processes:
        try:
            process.send_signal(number)
        except psutil.NoSuchProcess:
            continue


def _open_log(home: Home, name: str) -> IO[bytes]:
    path = log_file(home, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return os.fdopen(os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600), "ab")


def _not_ready(home: Home, record: ProcessRecord, what: str) -> MillraceError:
    path = log_file(home, record.name)
    tail = path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-20:]
    lines = "\n".join(tail)
    return MillraceError(f"{record.name} (process {record.pid}) {what}; {path} ends with:\n{lines}")

"""SIGKILL and SIGSTOP that prove themselves."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import timedelta

import psutil

from tests.faults.waiting import await_true

__all__ = ["kill", "stand_still", "stopped"]

_SOON = timedelta(seconds=30)


def kill(victims: list[psutil.Process]) -> None:
    """SIGKILL; returns when all are dead."""
    assert victims, "nobody is there to be killed"
    for process in victims:
        with suppress(ProcessLookupError):
            os.kill(process.pid, signal.SIGKILL)
    await_true(f"the end of {victims}", lambda: not any(_lives(process) for process in victims), _SOON)


@contextmanager
def stopped(victims: list[psutil.Process], within: timedelta = _SOON) -> Iterator[None]:
    """SIGSTOP for the `with` block, then SIGCONT; fails where it stops nobody, and where one does not go on."""
    assert victims, "nobody is there to be stopped"
    try:
        for process in victims:
            process.send_signal(signal.SIGSTOP)
        await_true(f"{victims} to stop", lambda: all(_is_stopped(process) for process in victims), within)
        yield
    finally:
        for process in victims:
            with suppress(psutil.NoSuchProcess):
                process.send_signal(signal.SIGCONT)
    await_true(f"{victims} to go on", lambda: not any(_is_stopped(process) for process in victims), within)


def stand_still(seconds: float) -> None:
    """The one thing that is not awaited but lasts: how long a fault lasts."""
    time.sleep(seconds)


def _is_stopped(process: psutil.Process) -> bool:
    """Whether it is in state T."""
    try:
        return bool(process.status() == psutil.STATUS_STOPPED)
    except psutil.NoSuchProcess:
        return False


def _lives(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False

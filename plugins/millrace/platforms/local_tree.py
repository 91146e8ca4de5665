"""The processes of a local job: everything in its watcher's session."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable
from datetime import timedelta

import psutil

__all__ = ["end_session", "session_members"]

_POLL_S = 0.05
_LEADER_GRACE = timedelta(seconds=2)
_PATIENCE = timedelta(seconds=10)


def session_members(session: int) -> list[psutil.Process]:
    """The live processes of a session; its id is given to no other while one of them lives."""
    return [process for process in psutil.process_iter() if _session(process.pid) == session and _lives(process)]


def end_session(session: int, is_alive: Callable[[], bool], grace: timedelta) -> bool:
    """SIGTERM to the members, SIGKILL to who is left after `grace`; whether all ended.

    The leader is killed only when it outlives its members: it writes down how they ended. `is_alive` tells whether
    the session is still the one that was meant: nobody is signalled after it has ended.
    """
    steps = ((signal.SIGTERM, False, grace), (signal.SIGKILL, False, _LEADER_GRACE), (signal.SIGKILL, True, _PATIENCE))
    for number, with_leader, patience in steps:
        for process in session_members(session) if is_alive() else []:
            if with_leader or process.pid != session:
                _signal(process, number)
        if _ended_within(patience, is_alive):
            return True
    return False


def _ended_within(patience: timedelta, is_alive: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + patience.total_seconds()
    while is_alive():
        if time.monotonic() > deadline:
            return False
        time.sleep(_POLL_S)
    return True


def _signal(process: psutil.Process, number: int) -> None:
    try:
        process.send_signal(number)
    except psutil.NoSuchProcess:
        return


def _lives(process: psutil.Process) -> bool:
    try:
        return bool(process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


def _session(pid: int) -> int:
    try:
        return os.getsid(pid)
    except OSError:
        return -1

"""The processes of a driver on this machine."""

from __future__ import annotations

import psutil

from millrace.platforms.local import LocalPlatform
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.local_tree import session_members
from millrace.platforms.protocol import RunningJob

__all__ = ["driver_processes"]


def driver_processes(platform: LocalPlatform, job: RunningJob) -> list[psutil.Process]:
    """The driver's JVM and Python; not the watcher, which writes down how they ended."""
    session = JobFolder(platform.root / job.id).session
    return [process for process in session_members(session) if process.pid != session] if session else []

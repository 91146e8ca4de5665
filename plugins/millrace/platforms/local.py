"""Spark on this machine: one spark-submit per job, which lives on when Airflow does not."""

from __future__ import annotations

import os
import re
import secrets
import subprocess
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.home import Home
from millrace.platforms.local_folder import JobFolder, job_folders
from millrace.platforms.local_spark import spark_launch
from millrace.platforms.local_tree import end_session
from millrace.platforms.protocol import STOP_GRACE, JobState, JobStatus, RunningJob, SparkJob, UnknownJobError
from millrace.stack.file_lock import exclusive

__all__ = ["Launch", "LocalPlatform", "local_platform"]

_WATCHER = Path(__file__).with_name("local_watcher.py")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
_KEPT = 20

Launch = Callable[[SparkJob, JobFolder], tuple[list[str], Mapping[str, str]]]
"""The command and the whole environment of a job; what it needs on disk is written into the job's folder."""


def local_platform(environment: Environment, home: Home | None = None) -> LocalPlatform:
    """The platform of a local environment."""
    home = home or Home.current()
    return LocalPlatform(home.root / "jobs", lambda job, folder: spark_launch(environment, job, folder, home))


@dataclass(frozen=True)
class LocalPlatform:
    """Jobs as processes of this machine, with a folder each below `root`."""

    root: Path
    launch: Launch

    def submit(self, job: SparkJob) -> RunningJob:
        """Start `job`, detached; a live job of its name is returned instead, also when two submit at once."""
        if not _NAME.fullmatch(job.name):
            raise MillraceError(f"job name {job.name!r} is not 1 to 150 letters, digits, '.', '_', '-'; rename it")
        with exclusive(self.root / "submit.lock"):
            running = self.find(job.name)
            if running is None:
                self._prune(job.name)
                running = self._start(job)
        return running

    def find(self, name: str) -> RunningJob | None:
        """The live job of this name."""
        for folder in reversed(list(job_folders(self.root))):
            if _name_of(folder) == name and folder.is_alive():
                return folder.running_job()
        return None

    def live_jobs(self) -> list[RunningJob]:
        """Every live job, oldest first."""
        return [folder.running_job() for folder in job_folders(self.root) if folder.is_alive()]

    def last_job(self, name: str) -> str | None:
        """The id of the job of this name that was submitted last."""
        return next((folder.id for folder in reversed(list(job_folders(self.root))) if _name_of(folder) == name), None)

    def log_place(self, job_id: str) -> str:
        """The file with all that the driver wrote."""
        return str(self._folder(job_id).log)

    def state(self, job_id: str) -> JobStatus:
        """Where the job is. LOST when its watcher and driver died without an exit code being written."""
        folder = self._folder(job_id)
        started_at = datetime.fromisoformat(folder.read("job.json")["started_at"])
        if folder.is_alive():
            return JobStatus(JobState.RUNNING, started_at)
        ended, cancelled = folder.read("exit.json"), bool(folder.read("cancel.json"))
        if not ended:
            state = JobState.CANCELLED if cancelled else JobState.LOST
            return JobStatus(state, started_at, max(started_at, _last_sign(folder)))
        code, ended_at = int(ended["code"]), datetime.fromisoformat(ended["ended_at"])
        if code == 0:
            return JobStatus(JobState.SUCCEEDED, started_at, ended_at, code)
        return JobStatus(JobState.CANCELLED if cancelled else JobState.FAILED, started_at, ended_at, code)

    def settled_state(self, job_id: str) -> JobStatus:
        """As `state`: nothing here starts a job again by itself."""
        return self.state(job_id)

    def cancel(self, job_id: str, grace: timedelta = STOP_GRACE) -> None:
        """SIGTERM, then after `grace` SIGKILL, to all of the job's processes."""
        folder = self._folder(job_id)
        session = folder.session
        if session is None or not folder.is_alive():
            return
        folder.write("cancel.json", {"at": datetime.now(UTC).isoformat()})
        if not end_session(session, folder.is_alive, grace):
            raise MillraceError(f"job {job_id}: session {session} outlives SIGKILL; look at it with `ps -s {session}`")
        folder.sweep()

    def logs(self, job_id: str, tail: int) -> list[str]:
        """The last lines of the driver's standard output and error."""
        return self._folder(job_id).tail(tail)

    def _start(self, job: SparkJob) -> RunningJob:
        folder = JobFolder(self.root / f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{secrets.token_hex(3)}--{job.name}")
        lock = folder.create(job)
        try:
            command, environment = self.launch(job, folder)
            watch = [sys.executable, "-I", "-S", str(_WATCHER), str(folder.path), str(lock), *command]
            with folder.log.open("ab") as log:
                watcher = subprocess.Popen(
                    watch,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    env=environment,
                    cwd=folder.scratch,
                    pass_fds=(lock,),
                    start_new_session=True,
                )
        except BaseException:
            folder.remove()
            raise
        finally:
            os.close(lock)
        watcher.returncode = 0  # it is to outlive this object: no warning when the object goes
        folder.write("session.json", {"session": watcher.pid})
        return folder.running_job()

    def _folder(self, job_id: str) -> JobFolder:
        folder = JobFolder(self.root / job_id)
        if not folder.read("job.json"):
            kept = f"only the last {_KEPT} of a name are kept"
            raise UnknownJobError(f"job {job_id}: {self.root} has no such job; {kept}")
        return folder

    def _prune(self, name: str) -> None:
        """Jobs whose names differ only after the first dot are one family: the intervals of a pipeline, say."""
        family = name.partition(".")[0]
        folders = [folder for folder in job_folders(self.root) if _name_of(folder).partition(".")[0] == family]
        for folder in folders[:-_KEPT]:
            if not folder.is_alive():
                folder.remove()


def _name_of(folder: JobFolder) -> str:
    return folder.id.partition("--")[2]


def _last_sign(folder: JobFolder) -> datetime:
    path = folder.log if folder.log.exists() else folder.path
    return datetime.fromtimestamp(path.stat().st_mtime, UTC)

"""Streams on Databricks: one continuous job each, which Databricks keeps running while nobody supervises it.

What is known of continuous jobs (https://learn.microsoft.com/azure/databricks/jobs/continuous): one run at a time; the
next one starts within a minute of its end, unless the job is paused; pausing lets the active run go on; a paused job
runs when it is told to.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from itertools import islice
from typing import TypeVar

from databricks.sdk.mixins.jobs import JobsExt
from databricks.sdk.service.jobs import (
    BaseRun,
    Continuous,
    JobSettings,
    PauseStatus,
    Run,
    RunLifecycleStateV2State,
    SubmitTask,
    Task,
    TaskRetryMode,
)

from millrace.platforms.databricks_client import MissingError, Workspace
from millrace.platforms.databricks_runs import is_live, submission_of
from millrace.platforms.protocol import JobState, JobStatus

__all__ = ["ContinuousJobs"]

Answer = TypeVar("Answer")

_RUN = "millrace-run"
_RUN_BEFORE = "millrace-run-before"
_FINAL = frozenset({0, 2, 3, 4})
"""Exit codes after which the same again would not help, or is not wanted: see `jobs.driver`."""


@dataclass(frozen=True)
class ContinuousJobs:
    """The continuous jobs of a workspace, by their names."""

    workspace: Workspace

    def start(self, name: str, task: SubmitTask) -> int:
        """Start the job's next run; returns its id. Where one lives already, also one started at the same time, its id.

        The run is started while the job is paused, so that its id is known; then Databricks may go on by itself.
        """
        job = self._job(name) or self._created(name, task)
        before = self._last_started(name, job)
        self._call("reset", name, lambda jobs: jobs.reset(job, _settings(name, task, before)))
        newest = next(iter(self._runs(name, job)), None)
        if newest is not None and newest.run_id is not None and is_live(newest):
            run = newest.run_id
        else:
            # Two who saw the same newest run ask for the same next one. Databricks removes old runs, and refuses a
            # token whose run it has removed: where none is left, the token is of the last one that there was.
            last = newest.run_id if newest else before
            token = hashlib.sha256(f"{job} {last}".encode()).hexdigest()
            run = int(self._call("run", name, lambda jobs: jobs.run_now(job, idempotency_token=token).run_id))
        going_on = JobSettings(continuous=_continuous(PauseStatus.UNPAUSED), tags={_RUN: str(run)})
        self._call("unpause", name, lambda jobs: jobs.update(job, new_settings=going_on))
        return run

    def last_run(self, name: str) -> str | None:
        """The id of the newest run of the job of this name; None where there is no job, or it has never run."""
        job = self._job(name)
        newest = None if job is None else next(iter(self._runs(name, job)), None)
        return None if newest is None else str(newest.run_id)

    def pause(self, run: Run) -> None:
        """Databricks starts no other run after this one."""
        paused = JobSettings(continuous=_continuous(PauseStatus.PAUSED))
        try:
            self._call("pause", run.run_name, lambda jobs: jobs.update(_job_of(run), new_settings=paused))
        except MissingError:  # a person has deleted the job
            return

    def successors(self, run: Run, status: JobStatus) -> list[int]:
        """The runs that Databricks has started after this one, which has ended so, and that are to be cancelled.

        The job is paused first: from here on its supervisor decides. A successor that already runs where a restart
        would follow anyway goes on: nobody watched, and the supervisor will find it.
        """
        try:
            job = self._call("read", run.run_name, lambda jobs: jobs.get(_job_of(run)))
        except MissingError:
            return []
        if job.settings is None or not _is_of(run, job.settings):
            return []  # the job is a later submission's now
        self.pause(run)
        is_final = status.state in (JobState.SUCCEEDED, JobState.CANCELLED) or status.exit_code in _FINAL
        runs = self._runs(run.run_name, _job_of(run), active_only=True)
        return [int(each.run_id or 0) for each in runs if is_final or not _has_cluster(each)]

    def _created(self, name: str, task: SubmitTask) -> int:
        """Of two who create it at once the later one deletes its own: both go on with the first."""
        settings = _settings(name, task)
        fields = {field: getattr(settings, field) for field in ("name", "continuous", "max_concurrent_runs", "tasks")}
        own = int(self._call("create", name, lambda jobs: jobs.create(**fields).job_id or 0))
        first = self._job(name) or own
        if first != own:
            self._call("delete", name, lambda jobs: jobs.delete(own))
        return first

    def _last_started(self, name: str, job: int) -> str | None:
        """The run that the job was started with last, though it may be removed; None before the first."""
        settings = self._call("read", name, lambda jobs: jobs.get(job)).settings
        tags = (settings and settings.tags) or {}
        return tags.get(_RUN) or tags.get(_RUN_BEFORE)

    def _job(self, name: str) -> int | None:
        """The oldest job of this name."""
        return next(iter(self._jobs(name)), None)

    def _jobs(self, name: str) -> list[int]:
        """The ids of the jobs of this name, oldest first. Databricks' filter ignores case, and names are not unique."""
        found = self._call("look for", name, lambda jobs: list(jobs.list(name=name)))
        own = [job for job in found if job.settings and job.settings.name == name]
        return [number for _, number in sorted((job.created_time or 0, job.job_id or 0) for job in own)]

    def _runs(self, name: str | None, job: int, active_only: bool = False) -> list[BaseRun]:
        """Those that are active, else the newest one."""
        limit = None if active_only else 1

        def request(jobs: JobsExt) -> list[BaseRun]:
            runs = jobs.list_runs(job_id=job, active_only=active_only, expand_tasks=True, limit=limit)
            return list(islice(runs, limit))

        return self._call("list the runs of", name, request)

    def _call(self, what: str, name: str | None, request: Callable[[JobsExt], Answer]) -> Answer:
        return self.workspace.call(f"{what} the continuous job {name!r}", lambda client: request(client.jobs))


def _settings(name: str, task: SubmitTask, before: str | None = None) -> JobSettings:
    return JobSettings(
        name=name,
        tags=None if before is None else {_RUN_BEFORE: before},
        continuous=_continuous(PauseStatus.PAUSED),
        max_concurrent_runs=1,
        tasks=[Task.from_dict(task.as_dict())],
    )


def _is_of(run: Run, settings: JobSettings) -> bool:
    """Whether the run is the one that the job was started with, or one that Databricks has started after it."""
    is_first = (settings.tags or {}).get(_RUN) == str(run.run_id)
    return is_first or submission_of(run) == submission_of(settings)


def _continuous(status: PauseStatus) -> Continuous:
    """Within a run nothing is tried again: every end is seen by who supervises the stream."""
    return Continuous(pause_status=status, task_retry_mode=TaskRetryMode.NEVER)


def _has_cluster(run: BaseRun) -> bool:
    return bool(run.status and run.status.state is RunLifecycleStateV2State.RUNNING)


def _job_of(run: Run) -> int:
    return int(run.job_id or 0)

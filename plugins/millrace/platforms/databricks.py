"""Spark on Azure Databricks: streams are continuous jobs, batch runs are one-time runs, each with its own cluster."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from databricks.sdk.service.jobs import BaseRun, Run, RunLifecycleStateV2State, RunOutput, RunType, SubmitTask

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.platforms.databricks_client import RefusedError, Workspace, connect_workspace
from millrace.platforms.databricks_cluster import cluster_for
from millrace.platforms.databricks_code import delivered_log, package_of, uploaded_wheel
from millrace.platforms.databricks_policy import policy_id
from millrace.platforms.databricks_runs import driver_task, is_live, log_of, running_job, status_of, submission_of
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.platforms.databricks_streams import ContinuousJobs
from millrace.platforms.protocol import STOP_GRACE, JobStatus, RunningJob, SparkJob
from millrace.waiting import until

__all__ = ["DatabricksPlatform", "Launch", "databricks_platform"]

Launch = Callable[[SparkJob, str], SubmitTask]
"""The task of a job's run, by the name of the submission; what it needs in the workspace is put there."""

_STREAMS = frozenset({"archive", "speed"})


def databricks_platform(environment: Environment) -> DatabricksPlatform:
    """The platform of an environment; raises MillraceError where its table `[databricks]` is unsound."""
    settings = DatabricksSettings.of(environment.platform_table)
    workspace = connect_workspace(settings)

    def launch(job: SparkJob, submission: str) -> SubmitTask:
        cluster = cluster_for(job, environment, settings, policy_id(workspace, settings.policy))
        wheel = uploaded_wheel(workspace, settings.code, package_of(environment, job))
        return driver_task(job, submission, wheel, cluster)

    return DatabricksPlatform(workspace, launch, f"millrace/{environment.name}/", settings.logs)


@dataclass(frozen=True)
class DatabricksPlatform:
    """Jobs of a workspace whose names begin with `prefix`; a job's id is that of its run.

    `logs`: the folder of a volume to which clusters deliver their logs. `patience`: how long a run may take to end that
    was cancelled, which includes its cluster's end.
    """

    workspace: Workspace
    launch: Launch
    prefix: str
    logs_folder: str | None = None
    patience: timedelta = timedelta(minutes=5)
    poll: timedelta = timedelta(seconds=2)

    def submit(self, job: SparkJob) -> RunningJob:
        """Start `job`; a live job of its name is returned instead, also when two submit at once."""
        live = self._live(job.name)
        if live is not None and _is_ending(live):
            self._await_end(int(live.run_id or 0))
            live = self._live(job.name)
        if live is not None:
            return running_job(live, job.name)
        submission = uuid.uuid4().hex
        task = self.launch(job, submission)
        if _is_stream(job):
            return running_job(self._run(self._streams.start(self.prefix + job.name, task)), job.name)
        return running_job(self._submit(self.prefix + job.name, task, submission), job.name)

    def find(self, name: str) -> RunningJob | None:
        """The live job of this name."""
        live = self._live(name)
        return None if live is None else running_job(live, name)

    def state(self, job_id: str) -> JobStatus:
        """Where the job is. Of a stream's run that has ended, whoever asks first pauses the continuous job."""
        run = self._run(_number(job_id))
        if is_live(run):
            return status_of(run, None)
        status = status_of(run, self._output(run))
        if run.run_type is RunType.JOB_RUN:
            for successor in self._streams.successors(run, status):
                self._cancel(successor)
        return status

    def cancel(self, job_id: str, grace: timedelta = STOP_GRACE) -> None:
        """Cancel the run, and pause its continuous job first, which would start another one.

        Databricks ends a driver in its own time: who wants it to end well asks it on the lake before.
        """
        run = self._run(_number(job_id))
        if not is_live(run):
            return
        if run.run_type is RunType.JOB_RUN:
            self._streams.pause(run)
        self._cancel(_number(job_id))

    def logs(self, job_id: str, tail: int) -> list[str]:
        """The last lines of standard output and error; while the job runs they are minutes old, or none."""
        if tail < 1:
            return []
        run = self._run(_number(job_id))
        output = self._output(run)
        has_lines = output is not None and bool(output.logs)
        delivered = [] if has_lines else delivered_log(self.workspace, self.logs_folder, run)
        return log_of(run, output, delivered)[-tail:]

    @cached_property
    def _streams(self) -> ContinuousJobs:
        return ContinuousJobs(self.workspace)

    def _live(self, name: str) -> BaseRun | None:
        return self._streams.live_run(self.prefix + name) or self._live_submission(self.prefix + name)

    def _live_submission(self, name: str) -> BaseRun | None:
        runs = self.workspace.call(
            "list the active runs",
            lambda client: list(
                client.jobs.list_runs(active_only=True, run_type=RunType.SUBMIT_RUN, expand_tasks=True, limit=25)
            ),
        )
        return next((run for run in runs if run.run_name == name), None)

    def _submit(self, name: str, task: SubmitTask, submission: str) -> Run:
        """A one-time run, or the live one of this name.

        Attempts of a name are counted, and Databricks starts one run for each number: so of two who submit at once
        both get the same run, and a request that is sent again starts nothing twice.
        """
        for attempt in itertools.count():
            token = hashlib.sha256(f"{name} {attempt}".encode()).hexdigest()
            run = self._run(self._submit_once(name, task, token))
            if is_live(run) or submission_of(run) == submission:
                return run
        raise AssertionError  # counting does not end

    def _submit_once(self, name: str, task: SubmitTask, token: str) -> int:
        return self.workspace.call(
            f"submit the run {name!r}",
            lambda client: int(client.jobs.submit(run_name=name, tasks=[task], idempotency_token=token).run_id),
        )

    def _run(self, run: int) -> Run:
        return self.workspace.call(f"read the run {run}", lambda client: client.jobs.get_run(run))

    def _output(self, run: Run) -> RunOutput | None:
        """None where Databricks has none, or none yet: of a run that had no cluster, say."""
        task = next(iter(run.tasks or []), None)
        if task is None or task.run_id is None:
            return None
        number = task.run_id
        try:
            return self.workspace.call(f"read the output of {number}", lambda api: api.jobs.get_run_output(number))
        except RefusedError:
            return None

    def _cancel(self, run: int) -> None:
        self.workspace.call(f"cancel the run {run}", lambda client: client.jobs.cancel_run(run))
        self._await_end(run)

    def _await_end(self, run: int) -> None:
        if not until(lambda: not is_live(self._run(run)), self.patience, self.poll):
            minutes = self.patience.total_seconds() / 60
            raise MillraceError(f"run {run}: it is to end, and lives {minutes:g} min later; look at it in Databricks")


def _is_stream(job: SparkJob) -> bool:
    return bool(_STREAMS & set(job.arguments[:1]))


def _is_ending(run: BaseRun) -> bool:
    return bool(run.status and run.status.state is RunLifecycleStateV2State.TERMINATING)


def _number(job_id: str) -> int:
    if not job_id.isdigit():
        raise MillraceError(f"job {job_id}: no run of Databricks, whose ids are numbers; it ran on another platform")
    return int(job_id)

"""Spark on Azure Databricks: streams are continuous jobs, batch runs are one-time runs, each with its own cluster."""

from __future__ import annotations

import hashlib
import itertools
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property

from databricks.sdk.service.jobs import BaseRun, Run, RunLifecycleStateV2State, RunOutput, RunType, SubmitTask

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.platforms.databricks_client import MissingError, RefusedError, Workspace, connect_workspace
from millrace.platforms.databricks_cluster import cluster_for
from millrace.platforms.databricks_code import delivered_log, package_of, uploaded_wheel
from millrace.platforms.databricks_policy import policy_id
from millrace.platforms.databricks_runs import driver_task, is_live, log_of, running_job, status_of, submission_of
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.platforms.databricks_streams import ContinuousJobs
from millrace.platforms.graceful import is_endless, stop_gracefully
from millrace.platforms.protocol import STOP_GRACE, JobStatus, RunningJob, SparkJob, UnknownJobError
from millrace.supervision.control import Notes
from millrace.waiting import until

__all__ = ["DatabricksPlatform", "Launch", "databricks_platform"]

_PAGE = 25

Launch = Callable[[SparkJob, str], SubmitTask]
"""The task of a job's run, by the name of the submission; what it needs in the workspace is put there."""


def databricks_platform(environment: Environment) -> DatabricksPlatform:
    """The platform of an environment; raises MillraceError where its table `[databricks]` is unsound."""
    settings = DatabricksSettings.of(environment.platform_table)
    workspace = connect_workspace(settings)

    def launch(job: SparkJob, submission: str) -> SubmitTask:
        cluster = cluster_for(job, environment, settings, policy_id(workspace, settings.policy))
        wheel = uploaded_wheel(workspace, settings.code, package_of(environment, job))
        return driver_task(job, submission, wheel, cluster)

    def notes() -> Notes:
        from millrace.lake.store import LakeStore  # here: it loads the storage client

        return LakeStore(environment)

    return DatabricksPlatform(workspace, launch, f"millrace/{environment.name}/", settings.logs, notes=notes)


@dataclass(frozen=True)
class DatabricksPlatform:
    """Jobs of a workspace whose names begin with `prefix`; a job's id is that of its run.

    `logs_folder`: the folder of a volume to which clusters deliver their logs. `patience`: how long a run may take to
    end that was cancelled, which includes its cluster's end. `notes`: the lake's, by which streams are asked to stop.
    """

    workspace: Workspace
    launch: Launch
    prefix: str
    logs_folder: str | None = None
    patience: timedelta = timedelta(minutes=5)
    poll: timedelta = timedelta(seconds=2)
    notes: Callable[[], Notes] | None = None

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
        if is_endless(job.arguments):
            return running_job(self._run(self._streams.start(self.prefix + job.name, task)), job.name)
        return running_job(self._submit(self.prefix + job.name, task, submission), job.name)

    def find(self, name: str) -> RunningJob | None:
        """The live job of this name."""
        live = self._live(name)
        return None if live is None else running_job(live, name)

    def live_jobs(self) -> list[RunningJob]:
        """Every live job of the environment, oldest first."""
        return [running_job(run, str(run.run_name).removeprefix(self.prefix)) for run in reversed(self._live_runs())]

    def last_job(self, name: str) -> str | None:
        """The id of the newest run of a stream's continuous job, live or not."""
        return self._streams.last_run(self.prefix + name)

    def log_place(self, job_id: str) -> str:
        """The run's page in Databricks."""
        run = self._run(_number(job_id))
        return run.run_page_url or f"run {job_id} at {self.workspace.host}"

    def state(self, job_id: str) -> JobStatus:
        """Where the job is. A stream whose run has ended may be started again by Databricks, and its next run go on."""
        return self._status(self._run(_number(job_id)))

    def settled_state(self, job_id: str) -> JobStatus:
        """The same. Of a stream's run that has ended, whoever supervises it and asks first pauses the continuous job,
        and cancels what Databricks has started that is not to go on."""
        run = self._run(_number(job_id))
        status = self._status(run)
        if not is_live(run) and run.run_type is RunType.JOB_RUN:
            for successor in self._streams.successors(run, status):
                self._cancel(successor)
        return status

    def cancel(self, job_id: str, grace: timedelta = STOP_GRACE) -> None:
        """Cancel the run, and pause its continuous job first, which would start another one.

        A stream is asked to stop after its micro-batch before, and has `grace` for it. Databricks ends any other driver
        in its own time.
        """
        number = _number(job_id)
        run = self._run(number)
        if not is_live(run):
            return
        if run.run_type is RunType.JOB_RUN:
            self._streams.pause(run)
            self._ask_to_stop(run, grace)
        self._cancel(number)

    def logs(self, job_id: str, tail: int) -> list[str]:
        """The last lines of standard output and error; while the job runs they are minutes old, or none."""
        if tail < 1:
            return []
        run = self._run(_number(job_id))
        output = self._output(run)
        has_lines = output is not None and bool(output.logs)
        delivered = [] if has_lines else delivered_log(self.workspace, self.logs_folder, run)
        return log_of(run, output, delivered)[-tail:]

    def _status(self, run: Run) -> JobStatus:
        return status_of(run, None if is_live(run) else self._output(run))

    def _ask_to_stop(self, run: Run, grace: timedelta) -> None:
        if self.notes is not None:
            job = running_job(run, str(run.run_name).removeprefix(self.prefix))
            stop_gracefully(self.notes(), job, lambda: not is_live(self._run(int(job.id))), grace)

    @cached_property
    def _streams(self) -> ContinuousJobs:
        return ContinuousJobs(self.workspace)

    def _live(self, name: str) -> BaseRun | None:
        """The newest live run of this name, of a job or by itself."""
        return next((run for run in self._live_runs() if run.run_name == self.prefix + name), None)

    def _live_runs(self) -> list[BaseRun]:
        """Every live run, newest first. A run of a job has its name. One request while 25 runs or fewer live."""
        runs = self.workspace.call(
            "list the active runs",
            lambda client: list(client.jobs.list_runs(active_only=True, expand_tasks=True, limit=_PAGE)),
        )
        return [run for run in runs if (run.run_name or "").startswith(self.prefix)]

    def _submit(self, name: str, task: SubmitTask, submission: str) -> Run:
        """A one-time run, or the live one of this name.

        Attempts of a name are counted, each month anew, and Databricks starts one run for each number: so of two who
        submit at once both get the same run, and a request that is sent again starts nothing twice. It removes runs
        after 60 days, and refuses the tokens of those.
        """
        month = datetime.now(UTC).strftime("%Y-%m")
        for attempt in itertools.count():
            token = hashlib.sha256(f"{name} {month} {attempt}".encode()).hexdigest()
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
        try:
            return self.workspace.call(f"read the run {run}", lambda client: client.jobs.get_run(run))
        except MissingError as error:
            raise UnknownJobError(f"job {run}: {error}") from error

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


def _is_ending(run: BaseRun) -> bool:
    return bool(run.status and run.status.state is RunLifecycleStateV2State.TERMINATING)


def _number(job_id: str) -> int:
    if not job_id.isdigit():
        raise UnknownJobError(f"job {job_id}: no run of Databricks, whose ids are numbers; it ran on another platform")
    return int(job_id)

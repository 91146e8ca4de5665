"""What a run of Databricks says of a job: https://docs.databricks.com/api/azure/workspace/jobs/getrun"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from databricks.sdk.service.compute import ClusterSpec, Library
from databricks.sdk.service.jobs import (
    BaseRun,
    JobSettings,
    PythonWheelTask,
    Run,
    RunLifecycleStateV2State,
    RunOutput,
    SubmitTask,
    TerminationCodeCode,
)

from millrace.platforms.databricks_wheel import ENTRY_POINT, PACKAGE
from millrace.platforms.protocol import JobState, JobStatus, RunningJob, SparkJob

__all__ = ["driver_task", "is_live", "log_of", "running_job", "status_of", "submission_of"]

_TASK = "driver"
_ENDS = {
    TerminationCodeCode.SUCCESS: JobState.SUCCEEDED,
    TerminationCodeCode.CANCELED: JobState.CANCELLED,
    TerminationCodeCode.USER_CANCELED: JobState.CANCELLED,
    # The cluster went, and what its driver did last is not known.
    TerminationCodeCode.CLOUD_FAILURE: JobState.LOST,
    TerminationCodeCode.CLUSTER_ERROR: JobState.LOST,
    TerminationCodeCode.DRIVER_ERROR: JobState.LOST,
    TerminationCodeCode.INTERNAL_ERROR: JobState.LOST,
}
_EXIT_CODE = re.compile(r"millrace: the driver ended with exit code (\d+)")


def driver_task(job: SparkJob, submission: str, wheel: str, cluster: ClusterSpec) -> SubmitTask:
    """The only task of the job's run: owner and submission are its first parameters, then the driver's arguments.

    Databricks never starts it again by itself: who supervises the job does.
    """
    parameters = [job.owner, submission, *job.arguments]
    return SubmitTask(
        task_key=_TASK,
        python_wheel_task=PythonWheelTask(package_name=PACKAGE, entry_point=ENTRY_POINT, parameters=parameters),
        libraries=[Library(whl=wheel)],
        new_cluster=cluster,
        max_retries=0,
        timeout_seconds=0,
    )


def is_live(run: BaseRun | Run) -> bool:
    """Whether it waits, runs, or is about to end."""
    return not (run.status and run.status.state is RunLifecycleStateV2State.TERMINATED)


def running_job(run: BaseRun | Run, name: str) -> RunningJob:
    """The job `name`, as it was submitted."""
    owner, _, *arguments = _parameters(run) or ["", ""]
    return RunningJob(str(run.run_id), name, owner, tuple(arguments))


def submission_of(run: BaseRun | Run | JobSettings) -> str:
    """Which call of `submit` the run, or the job, came from; empty for one that is none of ours."""
    return ([*_parameters(run), "", ""])[1]


def status_of(run: Run, output: RunOutput | None) -> JobStatus:
    """Where the job is, by its run and, once that has ended, by what its task put out.

    It starts when its cluster is there. A code of the driver is known where the driver itself ended.
    """
    started_at = _time(run.start_time) + timedelta(milliseconds=_setup_ms(run))
    if is_live(run):
        return JobStatus(JobState.RUNNING, min(started_at, datetime.now(UTC)))
    details = run.status.termination_details if run.status else None
    state = _ENDS.get(details.code, JobState.FAILED) if details and details.code else JobState.LOST
    ended = JobStatus(state, started_at, max(started_at, _time(run.end_time)))
    if state is JobState.SUCCEEDED:
        return replace(ended, exit_code=0)
    code = _EXIT_CODE.search((output.error if output else None) or "")
    return replace(ended, exit_code=int(code[1])) if code and state is JobState.FAILED else ended


def log_of(run: Run, output: RunOutput | None, delivered: Sequence[str]) -> list[str]:
    """The driver's lines: those of the run's output, else those `delivered` to the log volume; then why it ended."""
    lines = ((output.logs if output else None) or "").splitlines() or list(delivered)
    details = run.status.termination_details if run.status else None
    if details is None or details.code is TerminationCodeCode.SUCCESS:
        return lines
    code = details.code.value if details.code else "ended"
    error = (output.error if output else None) or ""
    told = error if error and error not in lines else ""
    return [
        *lines,
        *told.splitlines(),
        f"Databricks: {code}: {details.message or run.run_page_url or 'no reason given'}",
    ]


def _parameters(run: BaseRun | Run | JobSettings) -> list[str]:
    for task in run.tasks or []:
        if task.task_key == _TASK and task.python_wheel_task:
            return list(task.python_wheel_task.parameters or [])
    return []


def _setup_ms(run: Run) -> int:
    return sum(task.setup_duration or 0 for task in run.tasks or [])


def _time(milliseconds: int | None) -> datetime:
    return datetime.fromtimestamp(milliseconds / 1000, UTC) if milliseconds else datetime.now(UTC)

"""A platform that behaves, in memory: names are unique among live jobs, drivers end as a test says, calls may fail."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from millrace.platforms.protocol import STOP_GRACE, JobState, JobStatus, RunningJob, SparkJob, UnknownJobError


@dataclass
class FakePlatform:
    """`submitted` holds every job that was really started; `cancelled` the ids of those ended by force."""

    submitted: list[SparkJob] = field(default_factory=list)
    cancelled: list[str] = field(default_factory=list)
    log: list[str] = field(default_factory=lambda: ["starting", "ValueError: no such column", "bye"])
    failures_to_answer: int = 0
    _statuses: dict[str, JobStatus] = field(default_factory=dict)
    _jobs: dict[str, RunningJob] = field(default_factory=dict)

    def submit(self, job: SparkJob) -> RunningJob:
        if running := self.find(job.name):
            return running
        running = RunningJob(f"job-{len(self.submitted)}", job.name, job.owner, job.arguments)
        self.submitted.append(job)
        self._jobs[running.id] = running
        self._statuses[running.id] = JobStatus(JobState.RUNNING, datetime.now(UTC))
        return running

    def find(self, name: str) -> RunningJob | None:
        for running in self._jobs.values():
            if running.name == name and self._statuses[running.id].state is JobState.RUNNING:
                return running
        return None

    def state(self, job_id: str) -> JobStatus:
        if self.failures_to_answer:
            self.failures_to_answer -= 1
            raise ConnectionError("the gateway is down")
        if job_id not in self._statuses:
            raise UnknownJobError(f"job {job_id}: unknown")
        return self._statuses[job_id]

    def settled_state(self, job_id: str) -> JobStatus:
        return self.state(job_id)

    def cancel(self, job_id: str, grace: timedelta = STOP_GRACE) -> None:
        if self.state(job_id).state is JobState.RUNNING:
            self.cancelled.append(job_id)
            self.end(job_id, None, state=JobState.CANCELLED)

    def logs(self, job_id: str, tail: int) -> list[str]:
        return self.log[-tail:]

    def end(
        self, job_id: str, code: int | None, ran: timedelta = timedelta(seconds=20), state: JobState | None = None
    ) -> JobStatus:
        """The driver ends now, having run for `ran`."""
        now = datetime.now(UTC)
        state = state or (JobState.SUCCEEDED if code == 0 else JobState.FAILED)
        self._statuses[job_id] = JobStatus(state, now - ran, now, code)
        return self._statuses[job_id]


@dataclass
class FolderNotes:
    """The lake's small files in a folder; while `is_down` nothing answers."""

    folder: Path
    is_down: bool = False

    def read_json(self, path: str) -> dict[str, Any] | None:
        file = self._file(path)
        content: dict[str, Any] | None = json.loads(file.read_text()) if file.exists() else None
        return content

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        file = self._file(path)
        file.parent.mkdir(parents=True, exist_ok=True)
        whole = file.with_name(f"{file.name}.new")
        whole.write_text(json.dumps(content))
        whole.replace(file)  # as a storage account does: nobody reads half a file

    def delete(self, path: str) -> None:
        self._file(path).unlink(missing_ok=True)

    def _file(self, path: str) -> Path:
        if self.is_down:
            raise ConnectionError("the lake is down")
        return self.folder / path

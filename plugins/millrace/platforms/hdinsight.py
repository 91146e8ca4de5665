"""Spark on an HDInsight cluster: a batch of Livy per job, and YARN as the witness of how it is. See decision 20."""

from __future__ import annotations

import re
import secrets
import time
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.lake.store import LakeStore
from millrace.platforms.graceful import stop_gracefully
from millrace.platforms.hdinsight_batch import CONNECTION_FILE, Shipped, batch_body, ship
from millrace.platforms.hdinsight_gateway import Gateway
from millrace.platforms.hdinsight_login import login_for
from millrace.platforms.hdinsight_settings import HdinsightSettings
from millrace.platforms.hdinsight_status import status_of_application, status_of_batch
from millrace.platforms.hdinsight_store import JobStore
from millrace.platforms.protocol import STOP_GRACE, JobState, JobStatus, RunningJob, SparkJob, UnknownJobError
from millrace.triggers.events import status_from_json, status_to_json

__all__ = ["HdinsightPlatform", "hdinsight_platform"]

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,149}")
_KEPT = 20
# Livy hands a submission to a process of its own, which lives on when Livy dies: so long it may yet reach YARN.
_SUBMITTED_WITHIN = timedelta(minutes=3)
_KILLED_WITHIN = timedelta(minutes=1)
_POLL_S = 0.5


def hdinsight_platform(environment: Environment) -> HdinsightPlatform:
    """The platform of an HDInsight environment. Raises MillraceError where its file is unsound; asks nobody yet."""
    settings = HdinsightSettings.of(environment)
    gateway = Gateway(settings.gateway, login_for(settings), settings.ca_file)
    store = JobStore(environment, settings.container, settings.path)
    return HdinsightPlatform(environment, settings, gateway, store)


@dataclass(frozen=True)
class HdinsightPlatform:
    """Jobs as YARN applications. Errors of httpx and of Azure's clients pass through: they may be gone next time."""

    environment: Environment
    settings: HdinsightSettings
    gateway: Gateway
    store: JobStore

    def submit(self, job: SparkJob) -> RunningJob:
        """Start `job`; a live job of its name is returned instead, also when two submit at once."""
        if not _NAME.fullmatch(job.name):
            raise MillraceError(f"job name {job.name!r} is not 1 to 150 letters, digits, '.', '_', '-'; rename it")
        if (running := self.find(job.name)) is not None:
            return running
        self.gateway.check_livy()
        shipped = ship(self.environment, job, self.store)
        with self.store.exclusive(job.name):
            running = self.find(job.name)
            if running is None:
                self._prune(job.name)
                running = self._start(job, shipped)
        return running

    def find(self, name: str) -> RunningJob | None:
        """The live job of this name."""
        last = self.last_job(name)
        if last is None or not self._is_running(last):
            return None
        return self._running_job(last)

    def live_jobs(self) -> list[RunningJob]:
        """Every live job, oldest first."""
        return [self._running_job(job_id) for job_id in self.store.job_ids() if self._is_running(job_id)]

    def last_job(self, name: str) -> str | None:
        """The id of the job of this name that was submitted last."""
        return self.store.read_json(f"names/{name}.json").get("job")

    def log_place(self, job_id: str) -> str:
        """What the driver's Python wrote last, and, once YARN knows the job, its page there, with the JVM's log."""
        application = self.store.read_json(f"jobs/{job_id}/ended.json").get("application")
        if application is None and (found := self._application(job_id)):
            application = found["id"]
        driver_log = self.store.uri(f"jobs/{job_id}/driver.log")
        page = f"{self.gateway.url}/yarnui/hn/cluster/app/{application}"
        return f"{driver_log}, {page}" if application else driver_log

    def state(self, job_id: str) -> JobStatus:
        """Where the job is, by YARN. LOST when neither YARN nor Livy know it minutes after it was submitted."""
        if ended := self.store.read_json(f"jobs/{job_id}/ended.json"):
            return status_from_json(ended)
        started_at = datetime.fromisoformat(self._record(job_id)["submitted_at"])
        application = self._application(job_id)
        if application:
            status = self._with_exit_code(job_id, status_of_application(application, started_at))
        else:
            status = self._state_without_application(job_id, started_at)
        if status.state is not JobState.RUNNING:
            self._note_end(job_id, status, application or {})
        return status

    def settled_state(self, job_id: str) -> JobStatus:
        """As `state`: neither YARN nor Livy starts a job again by itself."""
        return self.state(job_id)

    def cancel(self, job_id: str, grace: timedelta = STOP_GRACE) -> None:
        """A stream is asked to stop after its micro-batch, and has `grace` for it. What runs then is killed, and a
        batch job at once: YARN sends SIGTERM, and SIGKILL a moment later. One that Livy has forgotten and YARN does not
        know yet is waited for, minutes at most: it is killed when it comes.
        """
        if not self._is_running(job_id):
            return
        notes = LakeStore(self.environment)
        stop_gracefully(notes, self._running_job(job_id), lambda: not self._is_running(job_id), grace)
        if not self._is_running(job_id):
            return
        self.store.write_json(f"jobs/{job_id}/cancel.json", {"at": datetime.now(UTC).isoformat()})
        patience = self._may_appear_for(job_id) + _KILLED_WITHIN
        give_up_at = time.monotonic() + patience.total_seconds()
        while self._is_running(job_id):
            if time.monotonic() > give_up_at:
                seconds = round(patience.total_seconds())
                raise MillraceError(f"job {job_id}: it runs {seconds} s after it was killed; look at it in YARN's UI")
            self._kill(job_id)
            time.sleep(_POLL_S)

    def logs(self, job_id: str, tail: int) -> list[str]:
        """The last lines of the driver's Python; before them, what YARN says of its end, or Livy of its submission."""
        driver = (self.store.read(f"jobs/{job_id}/driver.log") or b"").decode(errors="replace").splitlines()
        told = self.store.read_json(f"jobs/{job_id}/ended.json").get("diagnostics", "").splitlines()
        batch = None if driver else self._batch(job_id)
        submission = self.gateway.batch_log(batch["id"], tail) if batch else []
        return [*submission, *told, *driver][-tail:] if tail > 0 else []

    def _is_running(self, job_id: str) -> bool:
        return self.state(job_id).state is JobState.RUNNING

    def _start(self, job: SparkJob, shipped: Shipped) -> RunningJob:
        tag = secrets.token_hex(8)
        job_id = f"{datetime.now(UTC):%Y%m%dT%H%M%S%f}-{tag[:6]}--{job.name}"
        record = {"name": job.name, "owner": job.owner, "arguments": job.arguments, "tag": tag}
        hidden = self.environment.hadoop_options()
        self.store.write_json(f"jobs/{job_id}/job.json", record | {"submitted_at": datetime.now(UTC).isoformat()})
        if hidden:
            self.store.write_json(f"jobs/{job_id}/{CONNECTION_FILE}", hidden)
        self.store.write_json(f"names/{job.name}.json", {"job": job_id})
        body = batch_body(job, job_id, tag, shipped, self.settings, self.store, bool(hidden))
        try:
            number = self.gateway.submit_batch(body)
        except (MillraceError, httpx.ConnectError):  # it has not begun; after another error it may have
            self.store.delete(f"names/{job.name}.json")
            self.store.forget_job(job_id)
            raise
        self.store.write_json(f"jobs/{job_id}/batch.json", {"number": number})
        return self._running_job(job_id)

    def _state_without_application(self, job_id: str, started_at: datetime) -> JobStatus:
        now = datetime.now(UTC)
        if batch := self._batch(job_id):
            return status_of_batch(batch, started_at)
        cancelled = self.store.read_json(f"jobs/{job_id}/cancel.json")
        if now - started_at < _SUBMITTED_WITHIN and not cancelled.get("is_deleted"):
            return JobStatus(JobState.RUNNING, started_at)
        return JobStatus(JobState.CANCELLED if cancelled else JobState.LOST, started_at, now)

    def _may_appear_for(self, job_id: str) -> timedelta:
        """For so long a submission of which Livy knows nothing may yet reach YARN."""
        submitted_at = datetime.fromisoformat(self._record(job_id)["submitted_at"])
        return max(timedelta(0), submitted_at + _SUBMITTED_WITHIN - datetime.now(UTC))

    def _with_exit_code(self, job_id: str, status: JobStatus) -> JobStatus:
        """A driver notes its own; YARN knows it of those that were killed."""
        if status.state is not JobState.FAILED:
            return status
        noted = self.store.read_json(f"jobs/{job_id}/exit.json").get("code")
        return status if noted is None else replace(status, exit_code=noted)

    def _kill(self, job_id: str) -> None:
        """Through Livy, which forgets the batch then, or past a Livy that does not know it."""
        if batch := self._batch(job_id):
            if self.gateway.delete_batch(batch["id"]):  # Livy ends its submission with it: nothing comes any more
                cancelled = self.store.read_json(f"jobs/{job_id}/cancel.json")
                self.store.write_json(f"jobs/{job_id}/cancel.json", cancelled | {"is_deleted": True})
        elif application := self._application(job_id):
            self.gateway.kill_application(application["id"])

    def _application(self, job_id: str) -> dict[str, Any] | None:
        found = self.gateway.applications(self._record(job_id)["tag"])
        return found[0] if found else None

    def _batch(self, job_id: str) -> dict[str, Any] | None:
        """A Livy that was restarted without its memory counts from 0 again: a batch of our number may be another's."""
        number = self.store.read_json(f"jobs/{job_id}/batch.json").get("number")
        found = None if number is None else self.gateway.batch(number)
        return found if found and found.get("name") in (None, job_id) else None

    def _note_end(self, job_id: str, status: JobStatus, application: dict[str, Any]) -> None:
        told = {"diagnostics": application.get("diagnostics", ""), "application": application.get("id")}
        self.store.write_json(f"jobs/{job_id}/ended.json", status_to_json(status) | told)
        self.store.delete(f"jobs/{job_id}/{CONNECTION_FILE}")

    def _record(self, job_id: str) -> dict[str, Any]:
        record = self.store.read_json(f"jobs/{job_id}/job.json")
        if not record:
            where = self.store.uri("jobs")
            raise UnknownJobError(f"job {job_id}: {where} has no such job; only the last {_KEPT} of a name are kept")
        return record

    def _running_job(self, job_id: str) -> RunningJob:
        record = self._record(job_id)
        return RunningJob(job_id, record["name"], record["owner"], tuple(record["arguments"]))

    def _prune(self, name: str) -> None:
        """Jobs whose names differ only after the first dot are one family, as on a local platform."""
        family = name.partition(".")[0]
        found = [each for each in self.store.job_ids() if each.partition("--")[2].partition(".")[0] == family]
        for job_id in found[:-_KEPT]:
            if self.store.read_json(f"jobs/{job_id}/ended.json"):
                self.store.forget_job(job_id)

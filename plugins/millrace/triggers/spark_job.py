"""Waiting for a job that ends by itself."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from millrace.environment import Told
from millrace.platforms.protocol import SparkPlatform
from millrace.supervision.connection import Connection, connect
from millrace.triggers.events import status_to_json
from millrace.triggers.watch import job_end

__all__ = ["SparkJobTrigger"]


class SparkJobTrigger(BaseTrigger):
    """Fires `{"job_id", "owner", "state", "started_at", "ended_at", "exit_code"}` when the job has ended.

    `owner` is whose job it is. It is in the event, for `airflow dags test` hands a resumed task nothing else.
    `told` is what the environment's file leaves empty: see `millrace.environment.load_environment`.
    When a person marks or clears the task, the job is cancelled: SIGKILL after `grace_s`. `cleanup` does nothing.
    """

    def __init__(
        self,
        job_id: str,
        owner: str,
        environment: str | None = None,
        settle_s: float = 10.0,
        poll_s: float = 2.0,
        grace_s: float = 10.0,
        told: Told | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.job_id = job_id
        self.owner = owner
        self.environment = environment
        self.settle_s = settle_s
        self.poll_s = poll_s
        self.grace_s = grace_s
        self.told = told
        self._connection: Connection | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("job_id", "owner", "environment", "settle_s", "poll_s", "grace_s", "told")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def connect(self) -> Connection:
        """Blocks."""
        return connect(self.environment, self.told)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        settle, poll = timedelta(seconds=self.settle_s), timedelta(seconds=self.poll_s)
        status = await job_end(self._platform, self.job_id, self.log, settle=settle, poll=poll)
        yield TriggerEvent({"job_id": self.job_id, "owner": self.owner, **status_to_json(status)})  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """A person marked the task, or cleared it (a new try submits a job of another name)."""
        await asyncio.to_thread(self._cancel)

    def _cancel(self) -> None:
        self._platform().cancel(self.job_id, timedelta(seconds=self.grace_s))
        self.log.info("job %s was cancelled: its task was marked or cleared in Airflow", self.job_id)

    def _platform(self) -> SparkPlatform:
        if self._connection is None:
            self._connection = self.connect()
        return self._connection.platform

"""The supervisor of a stream while its task is deferred."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Coroutine
from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from millrace.platforms.protocol import SparkPlatform
from millrace.supervision.connection import Connection, connect, unreachable
from millrace.supervision.generation import Generation
from millrace.supervision.served_stream import candidate_end, served_stream
from millrace.supervision.supervision import Supervision
from millrace.triggers.events import status_to_json
from millrace.triggers.watch import job_end

__all__ = ["SparkStreamTrigger"]


class SparkStreamTrigger(BaseTrigger):
    """Waits for the driver `job_id` to end; without one, until `not_before` and the environment answers.

    Fires `{"job_id", "state", "started_at", "ended_at", "exit_code"}`, or `{"unreachable": None | what}`, and nothing
    within `settle_s` (see `job_end`). `not_before` is ISO 8601; `patience_s` bounds the wait for the environment,
    `grace_s` that for a graceful stop.

    With `follows`, a pipeline's name, it fires `{"handed_over": true}` while the driver lives: as soon as another
    version of the pipeline is served; for a candidate, which has the number of the switch that was in force when its
    upgrade was planned as `candidate_since`, as soon as it has an end (see `candidate_end`). That is looked up every
    `follow_s`.

    `cleanup` does nothing: it runs at every restart of a triggerer, and the driver is to live on.
    """

    def __init__(
        self,
        query: str,
        generation: str,
        environment: str | None = None,
        job_id: str | None = None,
        not_before: str | None = None,
        settle_s: float = 5.0,
        poll_s: float = 2.0,
        patience_s: float = 600.0,
        grace_s: float = 18.0,
        follows: str | None = None,
        candidate_since: int | None = None,
        follow_s: float = 5.0,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.query = query
        self.generation = generation
        self.environment = environment
        self.job_id = job_id
        self.not_before = not_before
        self.settle_s = settle_s
        self.poll_s = poll_s
        self.patience_s = patience_s
        self.grace_s = grace_s
        self.follows = follows
        self.candidate_since = candidate_since
        self.follow_s = follow_s
        self._connection: Connection | None = None

    def serialize(self) -> tuple[str, dict[str, Any]]:
        what = ("query", "generation", "environment", "job_id", "not_before")
        names = (*what, "settle_s", "poll_s", "patience_s", "grace_s", "follows", "candidate_since", "follow_s")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def connect(self) -> Connection:
        """Blocks."""
        return connect(self.environment)

    def unreachable(self) -> str | None:
        """What of the environment does not answer. Blocks."""
        return unreachable(self.environment)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        if self.job_id is None:
            yield TriggerEvent({"unreachable": await self._wait()})  # type: ignore[no-untyped-call]
            return
        yield TriggerEvent(await self._first_of(self._end(self.job_id), self._hand_over()))  # type: ignore[no-untyped-call]

    async def on_kill(self) -> None:
        """A person marked the task, or cleared it: stop the driver, unless a later try supervises it.

        The triggerer repeats its cancellation every second, so this coroutine does not see the end; the thread does.
        """
        await asyncio.to_thread(lambda: self.log.info("%s", self._stop()))

    async def _wait(self) -> str | None:
        """Until it is time and the environment answers, or patience ends; what does not answer then."""
        start = datetime.fromisoformat(self.not_before) if self.not_before else datetime.now(UTC)
        await asyncio.sleep(max(self.settle_s, (start - datetime.now(UTC)).total_seconds()))
        deadline = max(start, datetime.now(UTC)) + timedelta(seconds=self.patience_s)
        said = None
        while (missing := await asyncio.to_thread(self.unreachable)) and datetime.now(UTC) < deadline:
            if missing != said:
                self.log.warning("query %s: waiting: %s", self.query, missing)
            said = missing
            await asyncio.sleep(self.poll_s)
        return missing

    @staticmethod
    async def _first_of(*events: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
        waiting = [asyncio.ensure_future(event) for event in events]
        try:
            done, _ = await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
            return next(iter(done)).result()
        finally:
            for event in waiting:
                event.cancel()

    async def _end(self, job_id: str) -> dict[str, Any]:
        """When the driver has ended."""
        settle, poll = timedelta(seconds=2 * self.settle_s), timedelta(seconds=self.poll_s)
        status = await job_end(self._platform, job_id, self.log, settle=settle, poll=poll)
        return {"job_id": job_id, **status_to_json(status)}

    async def _hand_over(self) -> dict[str, Any]:
        """When another task, or another driver, takes over; never where nothing is followed."""
        await asyncio.sleep(2 * self.settle_s)
        while self.follows is None or not await asyncio.to_thread(self._is_handed_over, self.follows):
            await asyncio.sleep(self.follow_s)
        return {"handed_over": True}

    def _is_handed_over(self, pipeline: str) -> bool:
        try:
            connection = self._connected()
            if self.candidate_since is None:
                return served_stream(connection.environment, pipeline) not in (None, self.query)
            candidate = Supervision(self.query, Generation.parse(self.generation), connection)
            return candidate_end(candidate, pipeline, self.candidate_since) is not None
        except Exception as error:  # noqa: BLE001 - whatever a client of a lake that is down raises
            self.log.warning("query %s: cannot find out which version is served: %s", self.query, error)
            return False

    def _connected(self) -> Connection:
        if self._connection is None:
            self._connection = self.connect()
        return self._connection

    def _platform(self) -> SparkPlatform:
        return self._connected().platform

    def _stop(self) -> str:
        supervision = Supervision(self.query, Generation.parse(self.generation), self.connect())
        reason = f"its task was marked or cleared in Airflow (supervisor {self.generation})"
        try:
            return supervision.stop_own(reason, timedelta(seconds=self.grace_s))
        except Exception as error:  # noqa: BLE001 - whatever a client of a lake that is down raises
            self.log.warning("query %s: no graceful stop: %s", self.query, error)
            return supervision.cancel_own()

"""One supervisor of one query: what it may adopt, start and stop."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property

from millrace.environment import Environment
from millrace.platforms.protocol import JobState, RunningJob, SparkJob
from millrace.supervision.connection import Connection
from millrace.supervision.control import StopRequest, StreamControl, Watch
from millrace.supervision.generation import Generation

__all__ = ["Supervision"]

_FIRST_POLL_S, _LAST_POLL_S = 0.25, 4.0
_CANCEL_GRACE = timedelta(seconds=3)


@dataclass(frozen=True)
class Supervision:
    """`generation` supervises `query`. Every method blocks."""

    query: str
    generation: Generation
    connection: Connection

    @cached_property
    def control(self) -> StreamControl:
        """The query's notes on the lake."""
        return StreamControl(self.connection.notes, self.query)

    def find(self) -> RunningJob | None:
        """The query's live driver."""
        return self.connection.platform.find(self.query)

    def start(self, make_job: Callable[[Environment, str], SparkJob]) -> RunningJob:
        """Start a driver, whatever stop was asked of an earlier one; a live driver is returned instead."""
        self.control.withdraw_stop()
        job = make_job(self.connection.environment, str(self.generation))
        return self.connection.platform.submit(job)

    def adopt(self, running: RunningJob, failures: int = 0) -> None:
        """From now on only this generation, or a later one, stops the driver."""
        self.control.supervise(running, self.generation, failures)

    def last_watch(self) -> Watch | None:
        """What an earlier try of this run watched last."""
        watch = self.control.watch()
        return watch if watch and self.generation.may_stop(watch.supervisor) else None

    def is_own(self, running: RunningJob) -> bool:
        """Whether the driver is this generation's to stop: supervised by it, or by an older try of its run."""
        return self.generation.may_stop(self.control.supervisor(running))

    def stop_request(self, owner: str) -> StopRequest | None:
        """The stop request for the driver that `owner` submitted."""
        stop = self.control.stop_request()
        return stop if stop and stop.targets(owner) else None

    def ask_own_to_stop(self, reason: str) -> RunningJob | None:
        """Ask the driver to stop after its micro-batch; None, and nothing asked, where it is not this generation's."""
        running = self.find()
        if running is None or not self.is_own(running):
            return None
        self.control.request_stop(running.owner, reason, by_supervisor=True)
        return running

    def stop_own(self, reason: str, grace: timedelta) -> str:
        """Ask the driver to stop, wait for `grace`, then cancel it; what happened, in words.

        A driver that another try supervises is left alone, also when that try adopts it while we wait: it sees the
        request, and starts the query again.
        """
        running = self.ask_own_to_stop(reason)
        if running is None:
            return f"query {self.query}: {self.generation} supervises no driver"
        if self.ends_within(running, grace):
            return f"query {self.query}: driver {running.id} stopped on request"
        if not self.is_own(running):
            return f"query {self.query}: driver {running.id} has a new supervisor"
        self.connection.platform.cancel(running.id, _CANCEL_GRACE)
        return f"query {self.query}: driver {running.id} did not stop within {grace.seconds} s and was cancelled"

    def cancel_own(self) -> str:
        """Cancel the driver if this run submitted it, without asking the lake; what happened, in words."""
        running = self.find()
        if running is None or not self.generation.may_stop(Generation.parse(running.owner)):
            return f"query {self.query}: {self.generation} submitted no live driver"
        self.connection.platform.cancel(running.id, _CANCEL_GRACE)
        return f"query {self.query}: driver {running.id} was cancelled"

    def ends_within(self, running: RunningJob, grace: timedelta) -> bool:
        """Whether the driver ends in time. The platform is asked ever more rarely: it may be a service that counts."""
        deadline, poll_s = time.monotonic() + grace.total_seconds(), _FIRST_POLL_S
        while self.connection.platform.settled_state(running.id).state is JobState.RUNNING:
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                return False
            time.sleep(min(poll_s, left_s))
            poll_s = min(2 * poll_s, _LAST_POLL_S)
        return True

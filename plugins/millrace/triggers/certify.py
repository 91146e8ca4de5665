"""Waiting until an interval's archive is proven complete."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from airflow.triggers.base import BaseTrigger, TriggerEvent

from jobs.errors import MillraceError

if TYPE_CHECKING:
    from millrace.lake.certificate import Claim, Look

__all__ = ["CertifyTrigger", "claim_of"]


class CertifyTrigger(BaseTrigger):
    """Fires `{"certificate": …}` once the claim is proven, or `{"missing": [reason, …]}` at the deadline.

    `deadline` is ISO 8601; `needed` is what an earlier look found out, as JSON. Nothing fires within `settle_s`: see
    `millrace.triggers.watch.job_end`. After a restart of the triggerer it begins again, with the same deadline.
    """

    def __init__(
        self,
        pipeline: str,
        interval: str,
        deadline: str,
        environment: str | None = None,
        needed: dict[str, Any] | None = None,
        settle_s: float = 10.0,
        poll_s: float = 5.0,
        version: str | None = None,
    ) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.pipeline = pipeline
        self.interval = interval
        self.deadline = deadline
        self.environment = environment
        self.needed = needed
        self.settle_s = settle_s
        self.poll_s = poll_s
        self.version = version

    def serialize(self) -> tuple[str, dict[str, Any]]:
        names = ("pipeline", "interval", "deadline", "environment", "needed", "settle_s", "poll_s", "version")
        return f"{type(self).__module__}.{type(self).__qualname__}", {name: getattr(self, name) for name in names}

    def claim(self) -> Claim:
        """What is to be proven. Blocks."""
        return claim_of(self.pipeline, self.interval, self.environment, self.version)

    async def run(self) -> AsyncIterator[TriggerEvent]:
        look = await self._proof_or_deadline()
        certificate = look.proof()
        event = {"certificate": certificate.to_json()} if certificate else {"missing": list(look.missing)}
        yield TriggerEvent(event)  # type: ignore[no-untyped-call]

    async def _proof_or_deadline(self) -> Look:
        """The last look; each new reason to wait is logged."""
        await asyncio.sleep(self.settle_s)
        deadline, said, needed = datetime.fromisoformat(self.deadline), "", self._needed()
        claim = await self._claim(deadline)
        while True:
            look = await asyncio.to_thread(claim.try_look, needed)
            if look.proof() or datetime.now(UTC) >= deadline:
                return look
            if (reason := "; ".join(look.missing)) != said:
                self.log.info("waiting: %s", reason)
            said, needed = reason, look.needed
            await asyncio.sleep(claim.pause(timedelta(seconds=self.poll_s), deadline).total_seconds())

    async def _claim(self, deadline: datetime) -> Claim:
        """A lake that does not answer is one more reason to wait, as it is of a look."""
        while True:
            try:
                return await asyncio.to_thread(self.claim)
            except MillraceError:
                raise
            except Exception as error:  # whatever a client of a lake that is down raises
                if datetime.now(UTC) >= deadline:
                    raise
                self.log.info("waiting: the lake cannot be read (%s: %s)", type(error).__name__, error)
            await asyncio.sleep(self.poll_s)

    def _needed(self) -> Any:
        from millrace.lake.offsets import KafkaEnd

        return KafkaEnd.from_json(self.needed) if self.needed else None


def claim_of(pipeline: str, interval: str, environment: str | None, version: str | None) -> Claim:
    """That the archive of the pipeline's topic has all of the interval; as a version declared it, by default the served
    one. Raises MillraceError where one is unknown."""
    from jobs.interval import Interval
    from jobs.pipelines import find_pipeline
    from millrace.lake.declared import declared, declared_served  # here: parsing a DAG loads no client of the lake
    from millrace.lake.interval_claim import interval_claim
    from millrace.supervision.connection import environment_for_task

    found, where = find_pipeline(pipeline), environment_for_task(environment)
    each = Interval.parse(interval, found.interval)
    found = declared(where, found, version) if version else declared_served(where, found)
    return interval_claim(where, found, each)

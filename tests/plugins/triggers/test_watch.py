"""Waiting for a job in a triggerer, beside other triggers."""

from __future__ import annotations

import asyncio
import logging
import time
from datetime import timedelta

from jobs.errors import MillraceError
from millrace.platforms.protocol import JobState, JobStatus, SparkJob
from millrace.triggers.events import status_from_json, status_to_json
from millrace.triggers.spark_job import SparkJobTrigger
from millrace.triggers.spark_stream import SparkStreamTrigger
from millrace.triggers.watch import job_end
from tests.plugins.supervision.fake_platform import FakePlatform

LOG = logging.getLogger(__name__)
SHORT = timedelta(milliseconds=10)


class SlowPlatform(FakePlatform):
    """Takes its time to answer."""

    def state(self, job_id: str) -> JobStatus:
        time.sleep(0.3)
        return super().state(job_id)


def test_a_platform_that_answers_slowly_does_not_hold_up_the_event_loop() -> None:
    platform = SlowPlatform()
    running = platform.submit(SparkJob("q", (), "me"))
    platform.end(running.id, 0)
    ticks = 0

    async def tick() -> None:
        nonlocal ticks
        while True:
            await asyncio.sleep(0.01)
            ticks += 1

    async def both() -> JobStatus:
        ticking = asyncio.create_task(tick())
        status = await job_end(lambda: platform, running.id, LOG, settle=SHORT, poll=SHORT)
        ticking.cancel()
        return status

    assert asyncio.run(both()).state is JobState.SUCCEEDED
    assert ticks > 5


def test_the_first_question_is_not_asked_at_once() -> None:
    platform = FakePlatform()
    running = platform.submit(SparkJob("q", (), "me"))
    platform.end(running.id, 0)
    before = time.monotonic()
    asyncio.run(job_end(lambda: platform, running.id, LOG, settle=timedelta(milliseconds=200), poll=SHORT))
    assert time.monotonic() - before >= 0.2


class RefusingPlatform(FakePlatform):
    """Refuses the login for a while, as after a token's end."""

    refused = 0

    def state(self, job_id: str) -> JobStatus:
        self.refused += 1
        if self.refused <= 5:
            raise MillraceError("the workspace does not accept the login")
        return super().state(job_id)


def test_a_job_whose_platform_refuses_the_login_is_not_lost_one_that_it_has_forgotten_is() -> None:
    platform = RefusingPlatform()
    running = platform.submit(SparkJob("q", (), "me"))
    platform.end(running.id, 0)
    ended = asyncio.run(job_end(lambda: platform, running.id, LOG, settle=SHORT, poll=SHORT))
    assert (ended.state, platform.refused) == (JobState.SUCCEEDED, 6)
    assert asyncio.run(job_end(lambda: platform, "another", LOG, settle=SHORT, poll=SHORT)).state is JobState.LOST


def test_triggers_and_events_survive_the_database() -> None:
    for trigger in (
        SparkStreamTrigger("q", "run.1", "local", job_id="j", poll_s=3.0),
        SparkJobTrigger("j", "me.1", "local", grace_s=4.0),
    ):
        path, kwargs = trigger.serialize()
        assert path == f"{type(trigger).__module__}.{type(trigger).__name__}"
        assert type(trigger)(**kwargs).serialize() == (path, kwargs)
    platform = FakePlatform()
    status = platform.end(platform.submit(SparkJob("q", (), "me")).id, 3)
    assert status_from_json(status_to_json(status)) == status

"""The whole main job through Livy on YARN: Spark 3.3, Python 3.8, a Kafka that asks for a login; then faults.

The tests build on each other, in this order: a cluster takes a minute to start, a driver half a minute.
"""

from __future__ import annotations

from datetime import timedelta

import pytest

from millrace.environment import Environment
from millrace.platforms.protocol import JobState
from tests.conformance.streams import DAY, Streams

pytestmark = pytest.mark.timeout(1200)


@pytest.fixture(scope="module")
def streams(azure: Environment) -> Streams:
    streams = Streams(azure)
    streams.produce(DAY + timedelta(hours=1), 3000, seed=3)
    streams.produce(DAY + timedelta(hours=30), 600, seed=4)
    return streams


def test_archive_and_speed_answer_like_the_oracle(streams: Streams) -> None:
    for job in (streams.archive("archive.1"), streams.speed("speed.1")):
        running = streams.platform.submit(job)
        assert (running.name, running.owner, running.arguments) == (job.name, job.owner, job.arguments)
        assert streams.platform.state(running.id).state is JobState.RUNNING
    streams.settle()
    rows, layers = streams.view()
    assert layers == {"speed"}
    assert rows == streams.expected()

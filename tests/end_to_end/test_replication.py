"""Every record of a topic is in its replica, whatever is killed: MirrorMaker between two real brokers."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from datetime import timedelta

import pytest

from millrace.environment import Environment
from millrace.home import Home
from millrace.platforms.protocol import JobState
from millrace.replica import Replica
from millrace.replication.check import check_replica, verdict
from millrace.replication.job import mirror_connection, mirror_job
from millrace.supervision.connection import Connection
from millrace.supervision.control import StreamControl
from tests.end_to_end.mirrored_topic import bring_back, counts, make_topic, read_all, send_numbers, surplus, wait_for

pytestmark = [pytest.mark.stack, pytest.mark.long, pytest.mark.timeout(400)]

TOPIC = "mirrored.topic"
BEFORE, DURING, AFTER = range(4_000), range(4_000, 8_000), range(8_000, 10_000)


@pytest.fixture
def mirrored(stack: Home, environment: Environment) -> Iterator[Connection]:
    replica = Replica(stack, None, {}, topics=(TOPIC,), replication_factor=1, exactly_once=True)
    connection = mirror_connection(replace(environment, replica=replica), stack)
    yield connection
    for running in connection.platform.live_jobs():
        connection.platform.cancel(running.id, timedelta(0))


def test_a_killed_mirrormaker_loses_and_doubles_nothing(stack: Home, mirrored: Connection) -> None:
    environment, platform = mirrored.environment, mirrored.platform
    make_topic(environment.kafka_bootstrap, {}, TOPIC)
    sent = send_numbers(environment.kafka_bootstrap, {}, TOPIC, BEFORE)
    running = platform.submit(mirror_job(environment, "test.1"))
    wait_for(lambda: counts(environment, TOPIC) > 0)
    sent += send_numbers(environment.kafka_bootstrap, {}, TOPIC, DURING)
    running = bring_back(mirrored, stack.replication / environment.name / "jobs", running)
    behind = list(check_replica(environment, patience=timedelta(0)))
    sent += send_numbers(environment.kafka_bootstrap, {}, TOPIC, AFTER)
    assert sum(report.lag for report in behind) == sum(report.records - report.replicated for report in behind)

    reports = list(check_replica(environment, patience=timedelta(seconds=90)))
    assert verdict(reports) is None
    assert [(report.records, report.replicated, report.duplicates, report.strangers) for report in reports] == [
        (5_000, 5_000, 0, 0),
        (5_000, 5_000, 0, 0),
    ]
    assert environment.replica is not None
    copied = read_all(environment.replica.bootstrap, {}, TOPIC)
    assert copied == sorted(sent, key=lambda record: record[0])
    assert not surplus(copied, sent)

    StreamControl(mirrored.notes, running.name).request_stop(running.owner, "the test is over")
    wait_for(lambda: platform.state(running.id).state is JobState.SUCCEEDED)

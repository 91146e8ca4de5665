"""Alerts by real drivers on real Kafka and Azurite: stopped, killed and started again, against plain Python."""

from __future__ import annotations

import itertools
import json
import signal
import uuid
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Producer

from jobs.checkpoint import Checkpoint, of_topic
from jobs.lake import Lake, alerts_query
from jobs.lost_offsets import next_offsets
from jobs.pipeline import Pipeline
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.builders.stream_jobs import alerts_job
from millrace.environment import Environment
from millrace.home import Home
from millrace.lake.progress import StreamProgress
from millrace.lake.store import LakeStore
from millrace.lake.text_files import TextFiles
from millrace.platforms.local import LocalPlatform, local_platform
from millrace.platforms.protocol import JobCode, JobState, RunningJob
from millrace.stack.topics import ensure_topic
from millrace.supervision.control import StreamControl
from millrace.waiting import until
from tests.end_to_end.drivers import driver_processes
from tests.end_to_end.topic_oracle import KafkaRecord, read_topic
from tests.oracle.alerts import Alerts, alerts_of, read_alert
from tests.oracle.ticks import Sent
from tests.plugins.platforms.code_copies import TOPICS, copied_code, keep

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(900)]

PIPELINE, QUERY = Path("pipelines/stock_high_low/pipeline.py"), alerts_query("stock_high_low")
EPOCH, PATIENCE = timedelta(seconds=5), timedelta(minutes=3)


class Alerting:
    """`stock_high_low` on a fresh topic, a fresh alerts topic and a fresh lake; and the drivers of its alerts."""

    def __init__(self, environment: Environment, home: Home, folder: Path) -> None:
        name = uuid.uuid4().hex[:12]
        topic = replace(stock_ticks, name=f"ticks_{name}")
        alerts = replace(stock_high_low.alerts, topic=f"alerts_{name}")
        self.pipeline: Pipeline = replace(stock_high_low, topic=topic, alerts=alerts)
        self.environment = replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
        self.platform: LocalPlatform = local_platform(self.environment, home)
        self.store = LakeStore(self.environment)
        renamed = ((TOPICS, '"stock_ticks"', f'"{topic.name}"'), (PIPELINE, '"stock_alerts"', f'"{alerts.topic}"'))
        self._version = keep(self.environment, copied_code(folder, *renamed))
        self._numbers = itertools.count()
        for each in (topic.name, alerts.topic):
            ensure_topic(environment, each, 3)

    def send(self, count: int) -> None:
        """Every other tick is large, and every tenth record is no tick."""
        producer = Producer({"bootstrap.servers": self.environment.kafka_bootstrap, "linger.ms": 0})
        for number in itertools.islice(self._numbers, count):
            moment = datetime.now(UTC).isoformat()
            tick = {"symbol": f"S{number % 7}", "event_time": moment, "price": number / 4, "volume": 989 + number % 2}
            value = b"no tick" if number % 10 == 5 else json.dumps(tick).encode()
            producer.produce(self.pipeline.topic.name, value, partition=number % 3)
            producer.poll(0.002)
        assert producer.flush(30) == 0

    def start(self, owner: str) -> RunningJob:
        job = alerts_job(self.pipeline, EPOCH, self.environment, owner)
        return self.platform.submit(replace(job, code=JobCode(self.pipeline.name, self._version)))

    def stop(self, running: RunningJob) -> None:
        StreamControl(self.store, QUERY).request_stop(running.owner, "the test")
        self.await_true(lambda: self.platform.state(running.id).state is not JobState.RUNNING)
        assert self.platform.state(running.id).exit_code == 0, self.platform.logs(running.id, 40)

    def kill(self, running: RunningJob) -> None:
        for process in driver_processes(self.platform, running):
            process.send_signal(signal.SIGKILL)
        self.await_true(lambda: self.platform.state(running.id).state is not JobState.RUNNING)
        assert self.platform.state(running.id).exit_code != 0

    def first_offsets(self) -> dict[int, int]:
        """Where the query began; empty before it has."""
        return of_topic(self._checkpoint.first_offsets(), self.pipeline.topic.name)

    def following(self) -> dict[int, int]:
        """What a driver that starts now would read next."""
        return next_offsets(self._checkpoint, self.pipeline.topic.name) or {}

    def received(self) -> list[KafkaRecord]:
        return read_topic(self.environment.kafka_bootstrap, self.pipeline.alerts.topic)

    def places(self) -> Counter[tuple[int, int]]:
        """How often each event's alert has come, by the event's partition and offset."""
        return Counter(place(read_alert(record.value)) for record in self.received())

    def expected(self) -> Alerts:
        """By plain Python, from what Kafka holds from where the query began."""
        first, topic = self.first_offsets(), self.pipeline.topic.name
        held = read_topic(self.environment.kafka_bootstrap, topic)
        sent = [Sent(r.value, r.timestamp, r.partition, r.offset) for r in held if r.offset >= first[r.partition]]
        return alerts_of(sent, topic)

    def await_all(self) -> None:
        self.await_true(lambda: set(self.places()) >= set(self.expected()))

    def await_true(self, condition: Callable[[], bool]) -> None:
        assert until(condition, PATIENCE), self.platform.logs(self.platform.last_job(QUERY) or "", 60)

    @property
    def _checkpoint(self) -> Checkpoint:
        return Checkpoint(TextFiles(self.store), Lake("").checkpoint(QUERY, self.pipeline.topic.name))


@pytest.fixture
def alerting(environment: Environment, stack: Home, tmp_path: Path) -> Iterator[Alerting]:
    alerting = Alerting(environment, stack, tmp_path)
    yield alerting
    for running in alerting.platform.live_jobs():
        alerting.platform.cancel(running.id, timedelta(0))


def place(alert: dict[str, Any]) -> tuple[int, int]:
    return alert["_partition"], alert["_offset"]


def test_every_alert_comes_at_least_once_whatever_ends_a_driver(
    alerting: Alerting, monkeypatch: pytest.MonkeyPatch
) -> None:
    alerting.send(30)  # before its first start: no alerts of these
    first = alerting.start("alerts.1")
    alerting.await_true(lambda: bool(alerting.first_offsets()))
    assert alerting.first_offsets() == {0: 10, 1: 10, 2: 10}
    alerting.send(900)
    alerting.await_all()
    assert set(alerting.places().values()) == {1}, "without a fault nothing comes twice"
    alerting.send(300)
    alerting.stop(first)
    alerting.send(300)

    second = alerting.start("alerts.2")
    alerting.await_all()
    alerting.send(600)
    alerting.await_all()
    noted, sent = alerting.following(), set(alerting.places())
    open_epoch = {(partition, offset) for partition, offset in sent if offset >= noted[partition]}
    alerting.kill(second)
    assert alerting.following() == noted, "it was killed within the epoch whose alerts had been sent"
    assert open_epoch
    alerting.send(300)

    third = alerting.start("alerts.3")
    alerting.await_all()
    again = alerting.places()
    assert {each for each in open_epoch if again[each] > 1} == open_epoch
    records, expected = alerting.received(), alerting.expected()
    assert {place(alert): alert for alert in (read_alert(record.value) for record in records)} == expected
    doubles: dict[tuple[int, int], set[tuple[bytes | None, bytes | None]]] = {}
    for record in records:
        doubles.setdefault(place(read_alert(record.value)), set()).add((record.key, record.value))
    assert {len(same) for same in doubles.values()} == {1}, "what comes again is the same, byte for byte"

    monkeypatch.setattr("millrace.lake.progress.pipelines_with_alerts", lambda: [alerting.pipeline])
    progress = StreamProgress(alerting.environment)
    alerting.await_true(lambda: progress.lag(QUERY) == 0)
    assert {"addBatch"} <= set((progress.last(QUERY) or {})["duration_ms"])
    alerting.stop(third)

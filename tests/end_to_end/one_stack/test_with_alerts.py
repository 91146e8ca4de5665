"""Alerts as a person has them: their DAG is unpaused, Airflow keeps their driver, they come out of another topic."""

from __future__ import annotations

import pytest

from jobs.checkpoint import Checkpoint, of_topic
from jobs.lake import Lake, alerts_query
from jobs.pipelines import declared_alerts
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.lake.text_files import TextFiles
from millrace.platforms import platform_for
from millrace.platforms.protocol import RunningJob
from tests.end_to_end.streams import Streams, await_true
from tests.end_to_end.topic_oracle import read_topic
from tests.faults.signals import kill
from tests.oracle.alerts import Alerts, alerts_of, read_alert
from tests.oracle.ticks import Sent

pytestmark = [pytest.mark.release, pytest.mark.timeout(1200)]

ALERTS = alerts_query(stock_high_low.name)


def driver(streams: Streams) -> RunningJob:
    return await_true(f"driver of {ALERTS}", lambda: platform_for(streams.environment).find(ALERTS))


def began_at(streams: Streams) -> dict[int, int]:
    """The first offset of each partition that the alerts were to read, awaited."""
    checkpoint = Checkpoint(TextFiles(streams.store), Lake("").checkpoint(ALERTS, stock_ticks.name))
    return await_true("the first offsets of the alerts", lambda: of_topic(checkpoint.first_offsets(), stock_ticks.name))


def expected(streams: Streams, first: dict[int, int]) -> Alerts:
    """By plain Python, from what Kafka holds; by the place of the event."""
    held = read_topic(streams.environment.kafka_bootstrap, stock_ticks.name)
    sent = [Sent(r.value, r.timestamp, r.partition, r.offset) for r in held if r.offset >= first[r.partition]]
    return alerts_of(sent, stock_ticks.name)


def received(streams: Streams) -> Alerts:
    records = read_topic(streams.environment.kafka_bootstrap, declared_alerts(stock_high_low).topic)
    alerts = [read_alert(record.value) for record in records]
    return {(alert["_partition"], alert["_offset"]): alert for alert in alerts}


def test_alerts_go_on_when_their_driver_was_killed(streams: Streams) -> None:
    streams.airflow.await_dag(ALERTS)
    streams.airflow.unpause(ALERTS)
    first = began_at(streams)
    streams.run_dag("produce_stock_ticks", rate=200, duration_s=10, seed=9)
    of_first_driver = expected(streams, first)
    assert of_first_driver
    await_true("the alerts", lambda: received(streams) == of_first_driver)

    killed = driver(streams)
    kill(await_true(f"processes of {killed.id}", lambda: streams.processes(killed)))
    streams.run_dag("produce_stock_ticks", rate=200, duration_s=10, seed=10)
    await_true("another driver", lambda: driver(streams).id != killed.id)
    of_both = expected(streams, first)
    assert len(of_both) > len(of_first_driver)
    await_true("the alerts of both drivers", lambda: received(streams) == of_both)

"""Events in Kafka, both layers, one view: run by Airflow's scheduler on real Kafka, Azurite and Spark."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import NamedTuple

import pytest
from confluent_kafka import TopicCollection
from confluent_kafka.admin import AdminClient, ConfigResource

from jobs.lake import batch_query, redecode_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.dead_letters import open_dead_letters
from millrace.lake.late_records import late_records
from millrace.lake.pending_late import pending_late
from millrace.lake.published import Publication, publications
from millrace.lake.view import read_view
from millrace.platforms.local import local_platform
from millrace.platforms.local_folder import job_folders
from millrace.stack.lifecycle import status
from tests.end_to_end.streams import DAYS, FIRST_DAY, Streams, await_true
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows

pytestmark = pytest.mark.timeout(1200 + 60 * DAYS)

LAST_DAY = FIRST_DAY + timedelta(days=DAYS)


def test_provisioning_again_changes_nothing(streams: Streams) -> None:
    before = provisioned(streams.environment)
    assert before.processes.keys() >= {"kafka", "azurite"}
    assert stock_ticks.name in {name for name, *_ in before.topics}
    streams.run_dag("provision")
    assert provisioned(streams.environment) == before


def test_the_speed_layer_alone_answers_like_the_oracle(settled: Streams) -> None:
    expected = high_low(read_topic(settled.environment.kafka_bootstrap, "stock_ticks"))
    view = read_view(settled.environment, stock_high_low, end=LAST_DAY)
    assert set(view["_layer"].to_pylist()) == {"speed"}
    assert view_rows(view) == {key: row for key, row in expected.items() if key[1] < LAST_DAY}


def test_a_backfill_by_airflows_api_publishes_past_days_that_equal_both_the_speed_layer_and_the_oracle(
    settled: Streams,
) -> None:
    airflow, dag = settled.airflow, "stock_high_low__batch"
    airflow.await_dag(dag)
    backfill = airflow.create_backfill(dag, FIRST_DAY, LAST_DAY - timedelta(seconds=1), max_active_runs=2)
    airflow.unpause(dag)  # last night's run begins now: the backfill's days, missed so far, are left to that

    def completed() -> bool:
        return next(found for found in airflow.backfills(dag) if found.id == backfill.id).is_completed

    await_true("the backfill", completed, timedelta(minutes=10 + DAYS), poll_s=1)
    assert most_at_once(drivers_of_the_backfill(settled.environment)) == 2, "several days run at once"
    past = [p for p in publications(settled.environment, stock_high_low) if p.interval.end <= LAST_DAY]
    assert [p.interval.start for p in past] == [FIRST_DAY + timedelta(days=day) for day in range(DAYS)]
    for publication in past:
        parity = publication.result["parity"]
        assert parity["equal"] == publication.result["rows_written"] > 0
        assert (parity["different"], parity["only_batch"], parity["only_speed"]) == (0, 0, 0), parity
        assert publication.certificate["coverage"].keys() == {"0", "1", "2"}
    view = read_view(settled.environment, stock_high_low, end=LAST_DAY)
    assert set(view["_layer"].to_pylist()) == {"batch"}
    expected = high_low(read_topic(settled.environment.kafka_bootstrap, "stock_ticks"))
    assert view_rows(view) == {key: row for key, row in expected.items() if key[1] < LAST_DAY}


def test_late_events_of_a_published_day_are_repaired_by_a_run_of_the_batch_dag(settled: Streams) -> None:
    environment = settled.environment
    day = _published(environment, FIRST_DAY)
    settled.run_dag("produce_stock_ticks", start=FIRST_DAY.isoformat(), duration_s=600, rate=0.2, seed=4)
    settled.settle()
    late = pending_late(environment, stock_high_low, [day])[day.interval.id]
    assert late == 120
    settled.run_dag(batch_query(stock_high_low.name), repair=True)
    repaired = _published(environment, FIRST_DAY)
    assert repaired.result["rows_read"] == day.result["rows_read"] + late
    assert repaired.result["late"]["events"] == late
    assert set(repaired.result["parity"]["causes"]) == {"late"}
    assert pending_late(environment, stock_high_low, [repaired]) == {day.interval.id: 0}
    records = [each for each in late_records(environment, stock_high_low) if each["interval"] == day.interval.id]
    assert [(each["run"], each["late"], each["pending_late"]) for each in records[-2:]] == [
        (day.run, day.result["late"]["events"], late),
        (repaired.run, late, 0),
    ]
    expected = high_low(read_topic(environment.kafka_bootstrap, stock_ticks.name))
    view = read_view(environment, stock_high_low, end=LAST_DAY)
    assert view_rows(view) == {key: row for key, row in expected.items() if key[1] < LAST_DAY}


def test_dead_letters_are_decoded_again_by_their_dag(settled: Streams) -> None:
    settled.run_dag("redecode", topic=stock_ticks.name)
    results = settled.store.list(f"runs/{redecode_query(stock_ticks.name)}")
    assert len(results) == 1
    result = settled.store.read_json(results[0]) or {}
    dead = sum(reason.count for reason in open_dead_letters(settled.environment, stock_ticks).reasons())
    assert result["examined"] == result["still_dead"] == dead > 0
    assert result["moved"] == 0


class Provisioned(NamedTuple):
    processes: dict[str, int | None]
    topics: set[tuple[str, str, int, tuple[tuple[str, str], ...]]]
    """Name, the broker's id of it, partitions, settings."""
    container: tuple[str, datetime]
    """Version and time of its last change."""


def provisioned(environment: Environment) -> Provisioned:
    kafka = AdminClient({"bootstrap.servers": environment.kafka_bootstrap})
    names = [name for name in kafka.list_topics(timeout=15).topics if not name.startswith("__")]
    described = kafka.describe_topics(TopicCollection(names), request_timeout=15)
    settings = kafka.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name) for name in names])
    values = {
        resource.name: tuple(sorted((name, str(entry.value)) for name, entry in found.result().items()))
        for resource, found in settings.items()
    }
    topics = {
        (name, str(topic.topic_id), len(topic.partitions), values[name])
        for name, topic in ((name, future.result()) for name, future in described.items())
    }
    container = environment.blob_service().get_container_client(environment.storage.container)
    found = container.get_container_properties()
    return Provisioned({each.name: each.pid for each in status()}, topics, (found.etag, found.last_modified))


def drivers_of_the_backfill(environment: Environment) -> list[tuple[datetime, datetime]]:
    """From when to when each was running."""
    platform = local_platform(environment)
    jobs = [folder.running_job() for folder in job_folders(platform.root)]
    states = [platform.state(job.id) for job in jobs if ".backfill_" in job.name]
    return [(state.started_at, state.ended_at) for state in states if state.ended_at]


def most_at_once(spans: list[tuple[datetime, datetime]]) -> int:
    return max(sum(start <= moment < end for start, end in spans) for moment, _ in spans)


def _published(environment: Environment, start: datetime) -> Publication:
    return next(found for found in publications(environment, stock_high_low) if found.interval.start == start)

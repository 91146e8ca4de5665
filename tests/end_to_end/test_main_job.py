"""Events in Kafka, both layers, one view: run by Airflow's scheduler on real Kafka, Azurite and Spark."""

from __future__ import annotations

from datetime import timedelta

import pytest

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.lake.published import publications
from millrace.lake.view import read_view
from millrace.stack.lifecycle import status
from tests.end_to_end.streams import DAYS, FIRST_DAY, Streams, await_true
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows

pytestmark = pytest.mark.timeout(1200)

LAST_DAY = FIRST_DAY + timedelta(days=DAYS)


def test_provisioning_again_changes_nothing(streams: Streams) -> None:
    before = {process.name: process.pid for process in status()}
    assert "kafka" in before
    streams.run_dag("provision")
    assert {process.name: process.pid for process in status()} == before


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
    airflow.unpause(dag)
    backfill = airflow.create_backfill(dag, FIRST_DAY, LAST_DAY - timedelta(seconds=1), max_active_runs=2)

    def completed() -> bool:
        return next(found for found in airflow.backfills(dag) if found.id == backfill.id).is_completed

    await_true("the backfill", completed, timedelta(minutes=10), poll_s=1)
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

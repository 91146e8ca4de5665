"""Spark reaches every broker by its advertised name, or a task says which one it does not, and why. On real brokers."""

from __future__ import annotations

import dataclasses
import socket
from collections.abc import Iterator
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException
from pyspark.sql import SparkSession

from jobs.broker_check import check_brokers
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.home import Home
from millrace.lake.store import LakeStore
from millrace.platforms.local import local_platform
from millrace.supervision.broker_proof import broker_doubt
from millrace.supervision.connection import Connection
from tests.plugins.operators.broker_check_task import run_check
from tests.two_brokers import TwoBrokers, two_brokers

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

PLACES = [f"driver on {socket.gethostname()}", f"executor on {socket.gethostname()}"]


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoBrokers]:
    with two_brokers(Home(tmp_path_factory.mktemp("brokers") / "home")) as found:
        yield found


def run(environment: Environment, stack: Home, bootstrap: str) -> Any:
    """What the task returns, having run its job on the local platform."""
    place = dataclasses.replace(environment, kafka_bootstrap=bootstrap)
    return run_check(Connection(place, local_platform(place, stack), LakeStore(place)))


def test_brokers_that_are_reached_pass(environment: Environment, stack: Home, brokers: TwoBrokers) -> None:
    report = run(environment, stack, brokers.open)
    assert [(one["address"], one["unreached"]) for one in report["brokers"]] == [
        (address, {}) for address in brokers.addresses
    ]
    assert report["places"] == PLACES
    assert doubt(environment, brokers.open) is None
    assert doubt(environment, brokers.bad) is not None, "of other brokers nobody knows"


def doubt(environment: Environment, bootstrap: str) -> str | None:
    """What a stream on a cluster is told that starts now."""
    place = dataclasses.replace(environment, kafka_bootstrap=bootstrap, platform="hdinsight")
    return broker_doubt(LakeStore(place), place)


def test_a_name_that_does_not_resolve_and_a_port_that_is_shut_fail_the_task_by_name(
    environment: Environment, stack: Home, brokers: TwoBrokers
) -> None:
    with pytest.raises(AirflowException) as failed:
        run(environment, stack, brokers.bad)
    text = str(failed.value)
    for place in PLACES:
        assert f"{place}: the name does not resolve here" in text
        assert f"{place}: 127.0.0.1 port {brokers.shut.rpartition(':')[2]}: Connection refused" in text
    assert f"broker {brokers.nameless} is not reached" in text
    assert f"broker {brokers.shut} is not reached" in text
    assert "private DNS zone" in text
    assert f"broker {brokers.nameless} is not reached" in (doubt(environment, brokers.bad) or "")


def test_a_port_that_answers_and_is_no_broker_is_not_reached(
    spark: SparkSession, environment: Environment, brokers: TwoBrokers
) -> None:
    """As where TLS or a login is asked for that the environment does not give: the storage's port stands for it."""
    storage = environment.storage.blob_endpoint.split("/")[2]
    found = check_brokers(spark, [*brokers.addresses, storage], [stock_ticks.name])["brokers"]
    assert [one["unreached"] for one in found[:2]] == [{}, {}]
    assert list(found[2]["unreached"]) == PLACES[:1]
    assert "Kafka's client does not get in" in found[2]["unreached"][PLACES[0]]


def test_where_no_bootstrap_server_is_reached_no_job_is_started(
    environment: Environment, stack: Home, brokers: TwoBrokers
) -> None:
    with pytest.raises(
        AirflowFailException, match=r"is not reached from Airflow's worker .*in Kafka's virtual network"
    ):
        run(environment, stack, f"{brokers.shut},{brokers.nameless}")

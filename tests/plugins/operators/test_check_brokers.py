"""Spark reaches every broker by its advertised name, or a task says which one it does not, and why. On real brokers."""

from __future__ import annotations

import dataclasses
import socket
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred
from pyspark.sql import SparkSession

from jobs.broker_check import check_brokers
from millrace.environment import Environment
from millrace.home import Home
from millrace.lake.store import LakeStore
from millrace.operators.check_brokers import CheckBrokersOperator
from millrace.platforms.local import local_platform
from millrace.platforms.protocol import JobState
from millrace.supervision.connection import Connection
from millrace.triggers.events import status_to_json
from millrace.waiting import until
from tests.two_brokers import TwoBrokers, two_brokers

pytestmark = [pytest.mark.stack, pytest.mark.timeout(600)]

PLACES = [f"driver on {socket.gethostname()}", f"executor on {socket.gethostname()}"]


@dataclass(frozen=True)
class Try:
    run_id: str
    try_number: int = 1
    max_tries: int = 1
    map_index: int = -1


class Check(CheckBrokersOperator):
    """On a platform of the test's own."""

    connection: Connection

    def connect(self) -> Connection:
        return self.connection


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoBrokers]:
    with two_brokers(Home(tmp_path_factory.mktemp("brokers") / "home")) as found:
        yield found


def run(environment: Environment, stack: Home, bootstrap: str) -> Any:
    """What the task returns, having run its job on the local platform."""
    place = dataclasses.replace(environment, kafka_bootstrap=bootstrap)
    platform = local_platform(place, stack)
    task = Check(task_id="reached", environment="local")
    task.connection = Connection(place, platform, LakeStore(place))
    context: Any = {"ti": Try(uuid.uuid4().hex)}
    with pytest.raises(TaskDeferred) as deferred:
        task.execute(context)
    job_id = deferred.value.trigger.job_id
    assert until(lambda: platform.state(job_id).state is not JobState.RUNNING, timedelta(minutes=4))
    status = platform.state(job_id)
    assert status.state is JobState.SUCCEEDED, platform.logs(job_id, 40)
    return task.resume(context, {"job_id": job_id, **status_to_json(status)}, **(deferred.value.kwargs or {}))


def test_brokers_that_are_reached_pass(environment: Environment, stack: Home, brokers: TwoBrokers) -> None:
    report = run(environment, stack, brokers.open)
    assert [(one["address"], one["unreached"]) for one in report["brokers"]] == [
        (address, {}) for address in brokers.addresses
    ]
    assert report["places"] == PLACES


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


def test_a_port_that_answers_and_is_no_broker_is_not_reached(
    spark: SparkSession, environment: Environment, brokers: TwoBrokers
) -> None:
    """As where TLS or a login is asked for that the environment does not give: the storage's port stands for it."""
    storage = environment.storage.blob_endpoint.split("/")[2]
    found = check_brokers(spark, [*brokers.addresses, storage])["brokers"]
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

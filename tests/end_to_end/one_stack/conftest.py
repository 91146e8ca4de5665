"""The whole stack, Airflow included: the one of the test run, with Airflow added."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.environment import Environment
from millrace.home import Home
from millrace.stack import lifecycle
from millrace.stack.airflow_client import AirflowClient
from millrace.supervision.stop_jobs import stop_jobs
from tests.end_to_end.streams import Streams


@pytest.fixture(scope="session")
def airflow(stack: Home) -> Iterator[AirflowClient]:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_HOME", str(stack.root))  # what `Home.current()` is, here and in Airflow's processes
        lifecycle.up(stack)
        yield AirflowClient.local(stack)


@pytest.fixture(scope="session")
def streams(airflow: AirflowClient, environment: Environment, stack: Home) -> Iterator[Streams]:
    """The archive and speed streams of stock_ticks, run by Airflow; three past days of ticks are in the topic."""
    streams = Streams(airflow, environment)
    streams.provision()
    streams.produce_past_days()
    streams.start()
    yield streams
    stop_jobs(environment, "the test run ends", stay_stopped=True, home=stack)


@pytest.fixture
def settled(streams: Streams) -> Streams:
    """When both streams have processed everything that Kafka holds."""
    streams.settle()
    return streams

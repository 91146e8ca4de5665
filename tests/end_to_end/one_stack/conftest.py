"""The whole stack, Airflow included, and its streams: one of each for the tests here. They end with the last of them:
they would slow down what the same process tests next."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.stack import lifecycle
from millrace.stack.airflow_client import AirflowClient
from millrace.supervision.stop_jobs import stop_jobs
from tests.end_to_end.streams import Streams


@pytest.fixture(scope="package")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("one_stack") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_HOME", str(home.root))  # what `Home.current()` is, here and in Airflow's processes
        try:
            lifecycle.up(home)
            yield home
        finally:
            lifecycle.down(home)


@pytest.fixture(scope="package")
def environment(stack: Home) -> Environment:
    return load_environment("local", home=stack)


@pytest.fixture(scope="package")
def streams(environment: Environment, stack: Home) -> Iterator[Streams]:
    """The archive and speed streams of stock_ticks, run by Airflow; three past days of ticks are in the topic."""
    streams = Streams(AirflowClient.local(stack), environment)
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

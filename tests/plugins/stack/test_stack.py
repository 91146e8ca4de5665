"""The real stack: it comes up, stays as it is, heals, and goes without a trace."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from contextlib import suppress
from datetime import timedelta

import psutil
import pytest
from confluent_kafka import Consumer, Producer, TopicPartition

from jobs.errors import MillraceError
from millrace.cli.status import recent_restarts
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.stack import process
from millrace.stack.airflow import AIRFLOW_KEEPER, health
from millrace.stack.airflow_client import AirflowClient
from millrace.stack.lifecycle import down, status, up
from millrace.stack.process_record import ProcessRecord, load_records
from millrace.stack.topics import ensure_topic
from millrace.waiting import until

pytestmark = pytest.mark.stack
YEARS_AGO_MS = 1_000_000_000_000
ONE_MIB = 1024 * 1024


def family(home: Home) -> list[psutil.Process]:
    leaders = [psutil.Process(record.pid) for record in load_records(home) if record.is_running]
    return leaders + [child for leader in leaders for child in leader.children(recursive=True)]


def record_of(home: Home, name: str) -> ProcessRecord:
    return next(record for record in load_records(home) if record.name == name)


def listening_addresses(processes: list[psutil.Process]) -> set[str]:
    """Of those that are still there: what parses a DAG file, for example, comes and goes."""
    found = set()
    for one in processes:
        with suppress(psutil.NoSuchProcess):
            listening = [each for each in one.net_connections("inet") if each.status == psutil.CONN_LISTEN]
            found |= {str(each.laddr.ip).removeprefix("::ffff:") for each in listening}
    return found


def produce(environment: Environment, value: bytes) -> None:
    producer = Producer({"bootstrap.servers": environment.kafka_bootstrap, "message.max.bytes": 2 * ONE_MIB})
    errors: list[object] = []
    producer.produce("probe", value, timestamp=YEARS_AGO_MS, on_delivery=lambda error, _: errors.append(error))
    producer.flush(30)
    assert errors == [None]


def values(environment: Environment, count: int) -> list[bytes]:
    settings = {"bootstrap.servers": environment.kafka_bootstrap, "group.id": "probe", "fetch.max.bytes": 4 * ONE_MIB}
    consumer = Consumer(settings)
    consumer.assign([TopicPartition("probe", 0, 0)])
    try:
        return [message.value() for message in consumer.consume(count, timeout=30)]
    finally:
        consumer.close()


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    home = Home(tmp_path_factory.mktemp("stack") / "home")
    yield home
    everyone = family(home)
    down(home)
    assert not [process for process in everyone if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]
    assert status(home) == []


@pytest.fixture
def environment(home: Home) -> Environment:
    up(home, airflow=False)
    return load_environment("local", home=home)


def test_the_second_start_changes_nothing(home: Home) -> None:
    up(home, airflow=False)
    before = status(home)
    assert up(home, airflow=False) == []
    assert [(row.name, row.pid, row.endpoint) for row in status(home)] == [
        (row.name, row.pid, row.endpoint) for row in before
    ]
    assert {(row.name, row.state) for row in before} == {("kafka", "running"), ("azurite", "running")}


def test_a_topic_is_made_once_and_its_partitions_are_checked(environment: Environment) -> None:
    assert ensure_topic(environment, "partitioned", 3)
    assert not ensure_topic(environment, "partitioned", 3)
    with pytest.raises(MillraceError, match="topic 'partitioned': it has 3 partitions, 4 are declared; declare 3"):
        ensure_topic(environment, "partitioned", 4)


def test_large_and_old_records_and_blobs_survive_a_crash_and_a_restart(home: Home, environment: Environment) -> None:
    ensure_topic(environment, "probe", 1)
    produce(environment, b"x" * ONE_MIB)
    blob = environment.blob_service().get_blob_client(environment.storage.container, "probe")
    blob.upload_blob(b"kept", overwrite=True)
    broker = next(record for record in load_records(home) if record.name == "kafka")
    os.kill(broker.pid, signal.SIGKILL)
    os.waitpid(broker.pid, 0)
    assert {row.name: row.state for row in status(home)} == {"kafka": "crashed", "azurite": "running"}
    assert up(home, airflow=False) == ["kafka started"]
    assert set(down(home)) == {"azurite", "kafka"}
    assert up(home, airflow=False) == ["kafka started", "azurite started"]
    assert load_environment("local", home=home) == environment, "the ports are kept"
    assert values(environment, 1) == [b"x" * ONE_MIB]
    assert blob.download_blob().readall() == b"kept"


def test_it_listens_on_loopback_only_and_shows_no_secret(home: Home, environment: Environment) -> None:
    processes = family(home)
    assert listening_addresses(processes) == {"127.0.0.1"}
    arguments = " ".join(" ".join(process.cmdline()) for process in processes)
    logs = "".join(process.log_file(home, row.name).read_text() for row in status(home))
    assert environment.account_key() not in arguments + logs


def test_airflow_becomes_healthy_on_loopback_and_what_dies_of_it_comes_back(home: Home) -> None:
    started = up(home)
    assert {name for name in started if name.startswith("airflow")} == {
        f"airflow-{part} started" for part in ("api-server", "scheduler", "dag-processor", "triggerer", "keeper")
    }
    assert set(health(home).values()) == {"healthy"}
    assert listening_addresses(family(home)) == {"127.0.0.1"}
    assert AirflowClient.local(home).import_errors() == []
    scheduler = record_of(home, "airflow-scheduler")
    os.kill(scheduler.pid, signal.SIGKILL)
    os.waitpid(scheduler.pid, 0)
    assert health(home)["scheduler"] == "healthy", "by its last heartbeat, which is why up() does not trust it alone"

    def is_back() -> bool:
        return record_of(home, "airflow-scheduler").pid != scheduler.pid and health(home)["scheduler"] == "healthy"

    assert until(is_back, timedelta(minutes=2)), recent_restarts(home)
    assert [line.partition(":")[0] for line in recent_restarts(home)] == ["airflow-scheduler"]
    assert up(home) == []


def test_up_heals_what_nobody_kept(home: Home) -> None:
    up(home)
    names = (AIRFLOW_KEEPER, "airflow-scheduler")
    for name in names:  # the keeper first, so that it cannot help
        record = record_of(home, name)
        os.kill(record.pid, signal.SIGKILL)
        assert until(lambda record=record: not record.is_running, timedelta(seconds=10))
    assert set(up(home)) == {f"{name} started" for name in names}
    assert set(health(home).values()) == {"healthy"}
    assert up(home) == []

"""The steps of `provision` and `teardown` on the local platform. Each may be repeated: what is done already stays."""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable

from jobs.errors import MillraceError
from millrace.declared_topics import declared_topics
from millrace.environment import Environment, default_environment
from millrace.home import Home
from millrace.supervision.connection import environment_for_task, unreachable
from millrace.supervision.stop_jobs import stop_jobs, stream_queries

__all__ = [
    "create_container",
    "create_topics",
    "delete_data",
    "fetch_spark_jars",
    "start_azurite",
    "start_kafka",
    "stop_stack",
    "stop_streams",
    "verify",
]

_log = logging.getLogger(__name__)
_PATIENCE_S = 60.0
_POLL_S = 1.0


def start_kafka() -> str:
    """Kafka's address, once it answers."""
    from millrace.stack import kafka  # here, as below: parsing a DAG loads no part of the stack's clients
    from millrace.stack.file_lock import exclusive

    home = Home.current()
    with exclusive(home.root / "stack.lock"):
        _say("Kafka", kafka.start_kafka(home), "started", "was running")
    return kafka.bootstrap(home)


def start_azurite() -> str:
    """The address of Azurite's blob service, once it answers."""
    from millrace.stack import azurite
    from millrace.stack.file_lock import exclusive

    home = Home.current()
    with exclusive(home.root / "stack.lock"):
        _say("Azurite", azurite.start_azurite(home), "started", "was running")
    return azurite.blob_endpoint(home)


def fetch_spark_jars() -> None:
    """The jars that a Spark driver needs, downloaded once and checked, and the archive of its classes."""
    from millrace.stack.spark_classes import ensure_spark

    _say("Spark's jars", ensure_spark(Home.current()), "prepared", "were here")


def create_container(connection: str) -> None:
    """The lake's container, through the Airflow connection of the storage account."""
    from airflow.providers.microsoft.azure.hooks.wasb import WasbHook

    container, hook = _local().storage.container, WasbHook(connection)
    hook.create_container(container)
    if not hook.blob_service_client.get_container_client(container).exists():  # the hook only logs a refusal
        raise MillraceError(f"container {container!r}: it could not be made; the line above says why")


def create_topics() -> dict[str, int]:
    """Every declared topic, with its number of partitions."""
    from millrace.stack.topics import ensure_topic

    environment = _local()
    topics = declared_topics()
    for topic in topics:
        _say(f"topic {topic.name}", ensure_topic(environment, topic.name, topic.partitions), "created", "existed")
    return {topic.name: topic.partitions for topic in topics}


def verify() -> None:
    """Raises MillraceError unless Kafka and the lake's storage answer."""
    environment = _local()
    if missing := unreachable(environment.name):
        raise MillraceError(missing)
    _log.info("Kafka answers at %s, the lake at %s", environment.kafka_bootstrap, environment.lake)


def stop_streams(active_runs: Callable[[str], int]) -> list[str]:
    """Every stream stops after its micro-batch, and stays stopped, as does replication; batch jobs are cancelled.

    `active_runs` counts a DAG's running runs: the streams' tasks are waited for, because they read on the lake why
    their drivers ended.
    """
    from millrace.replication.job import REPLICATE
    from millrace.replication.stop import stop_replication

    environment, queries = _local(), [*stream_queries(), REPLICATE]
    done = stop_replication(environment, Home.current(), "teardown", stay_stopped=True)
    done += stop_jobs(environment, "teardown", stay_stopped=True)
    for line in done or ["no job was running"]:
        _log.info("%s", line)
    deadline = time.monotonic() + _PATIENCE_S
    while (waiting := [query for query in queries if active_runs(query)]) and time.monotonic() < deadline:
        time.sleep(_POLL_S)
    if waiting:
        _log.warning("still active: %s; are they paused? They end when they are unpaused", ", ".join(waiting))
    return done


def stop_stack() -> None:
    """Kafka, its replica and Azurite end; Airflow goes on."""
    from millrace.stack import azurite, kafka, process
    from millrace.stack.file_lock import exclusive

    home = Home.current()
    with exclusive(home.root / "stack.lock"):
        for name in (kafka.KAFKA, kafka.REPLICA, azurite.AZURITE):
            _say(name, process.stop(home, name), "stopped", "was not running")


def delete_data() -> None:
    """All events, the whole lake and the jobs' folders, for ever. Raises MillraceError while Kafka or Azurite run.

    What other environments keep here of their replication stays: their MirrorMaker may be running.
    """
    from millrace.stack import azurite, kafka, process

    home = Home.current()
    for name in (kafka.KAFKA, kafka.REPLICA, azurite.AZURITE):
        if process.is_running(home, name):
            raise MillraceError(f"{name} is running; its data is deleted only when it is not; stop it first")
    brokers = (home.kafka, home.broker(kafka.REPLICA), home.replication / default_environment())
    for folder in (*brokers, home.azurite, home.root / "jobs", home.root / "code"):
        shutil.rmtree(folder, ignore_errors=True)
        _log.info("deleted %s", folder)


def _local() -> Environment:
    environment = environment_for_task()
    if environment.platform != "local":
        raise MillraceError(
            f"environment {environment.name!r}: its platform is {environment.platform!r}; these steps are for 'local'; "
            "set MILLRACE_ENVIRONMENT=local"
        )
    return environment


def _say(what: str, changed: bool, then: str, otherwise: str) -> None:
    _log.info("%s %s", what, then if changed else otherwise)

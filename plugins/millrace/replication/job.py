"""MirrorMaker as a job of this machine: what starts it, what finds it again, what stops it."""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from pathlib import Path

from jobs.errors import MillraceError
from jobs.lake import Lake
from millrace.declared_topics import declared_topics
from millrace.environment import Environment
from millrace.home import PROJECT_ROOT, Home
from millrace.platforms.local import LocalPlatform
from millrace.platforms.local_environment import inherited_environment
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.protocol import SparkJob
from millrace.replica import Replica
from millrace.replication.first_start import require_brokers
from millrace.replication.notes import LocalNotes
from millrace.replication.properties import mirror_files
from millrace.stack import process
from millrace.stack.file_lock import exclusive
from millrace.stack.jars import fetch_jars
from millrace.stack.java import find_java
from millrace.stack.java_properties import properties_text
from millrace.stack.kafka import REPLICA, start_kafka
from millrace.stack.private_file import write_private
from millrace.stack.settings import load_settings
from millrace.supervision.connection import Connection, environment_for_task, unanswered_servers

__all__ = [
    "REPLICATE",
    "connect_mirror",
    "mirror_connection",
    "mirror_job",
    "mirrored_topics",
    "replica_of",
    "revive_broker",
    "secrets_file",
    "unanswered",
    "unreachable_clusters",
]

REPLICATE = "replicate"
"""The name of the job, of its DAG and of its command."""

_DRIVER = Path(__file__).with_name("mirror_driver.py")
_LOGGING = PROJECT_ROOT / "infra" / "local" / "mirror.log4j2.properties"
_MAIN = "org.apache.kafka.connect.mirror.MirrorMaker"


def replica_of(environment: Environment) -> Replica:
    """The environment's second cluster; raises MillraceError where its file names none."""
    if environment.replica is None:
        raise MillraceError(
            f"environment {environment.name!r}: its file has no table [replica], so there is nowhere to replicate to;"
            " name the second cluster there (docs/replication.md)"
        )
    return environment.replica


def mirrored_topics(environment: Environment) -> tuple[str, ...]:
    """The topics that are replicated: those of `[replica]`, else all that are declared."""
    return replica_of(environment).topics or tuple(topic.name for topic in declared_topics())


def mirror_job(environment: Environment, owner: str) -> SparkJob:
    """The job that replicates; raises MillraceError where the environment has no replica."""
    return SparkJob(REPLICATE, mirrored_topics(environment), owner)


def connect_mirror(name: str | None = None, home: Home | None = None) -> Connection:
    """An environment, by default the current one, with MirrorMaker's jobs and notes on this machine."""
    home = home or Home.current()
    return mirror_connection(environment_for_task(name, home=home), home)


def mirror_connection(environment: Environment, home: Home) -> Connection:
    """The same, for an environment at hand."""
    folder = home.replication / environment.name

    def launch(job: SparkJob, job_folder: JobFolder) -> tuple[list[str], Mapping[str, str]]:
        return _launch(environment, home, job, job_folder)

    return Connection(environment, LocalPlatform(folder / "jobs", launch), LocalNotes(folder / "notes"))


def unanswered(environment: Environment) -> str | None:
    """Which of both clusters does not answer, and what to do; None when both do.

    The local stack's second broker is started when it is needed (see `revive_broker`), so it is not asked.
    """
    replica = environment.replica
    servers = {"Kafka": environment.kafka_bootstrap}
    if replica and not replica.is_local_broker:
        servers["the replica"] = replica.bootstrap
    remedy = "see that its brokers are up and reached from here, or correct replica.bootstrap in the environment's file"
    return unanswered_servers(environment, servers, {"the replica": remedy})


def unreachable_clusters(name: str | None) -> str | None:
    """The same of an environment by its name; what is wrong with its file is told too."""
    try:
        return unanswered(environment_for_task(name))
    except MillraceError as error:
        return str(error)


def revive_broker(environment: Environment) -> bool:
    """Start the local stack's second broker again where it has died; whether it did. MirrorMaker then finds it again.

    Nothing happens before its first start, and where the replica is elsewhere.
    """
    replica = environment.replica
    if replica is None or not replica.is_local_broker or "port" not in load_settings(replica.home, REPLICA):
        return False
    if process.is_running(replica.home, REPLICA):
        return False
    return _start_broker(replica.home)


def _start_broker(home: Home) -> bool:
    """Whether the second broker was not running."""
    with exclusive(home.root / "stack.lock"):
        return start_kafka(home, REPLICA)


def _launch(environment: Environment, home: Home, job: SparkJob, folder: JobFolder) -> tuple[list[str], dict[str, str]]:
    """Its settings lie in files that only their owner reads, for as long as it lives."""
    replica, root = replica_of(environment), home.replication / environment.name
    if replica.is_local_broker:
        _start_broker(home)
    require_brokers(environment, replica)
    java = _java(replica, home)  # before the secrets are there: what fails here starts nobody who would delete them
    secrets, settings = secrets_file(environment, home), folder.scratch / "mirror.properties"
    files = mirror_files(environment, replica, job.arguments, secrets)
    write_private(secrets, properties_text(files.secrets))
    write_private(settings, properties_text(files.settings))
    stop = root / "notes" / Lake("").stop_request(job.name)
    python = [sys.executable, "-I", "-S", str(_DRIVER), str(stop), job.owner, str(secrets)]
    return [*python, *java, _MAIN, str(settings)], inherited_environment()


def secrets_file(environment: Environment, home: Home) -> Path:
    """What MirrorMaker's settings refer to; it is there while MirrorMaker runs."""
    return home.replication / environment.name / "secrets.properties"


def _java(replica: Replica, home: Home) -> list[str]:
    jars = os.pathsep.join(str(jar) for jar in fetch_jars("mirror", home))
    own = ["-Xms64m", f"-Xmx{replica.heap}", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={_LOGGING}"]
    return [find_java(), *own, "-Duser.timezone=UTC", "-cp", jars]

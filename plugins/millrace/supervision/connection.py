"""What a task or a trigger needs of an environment, made when it is needed: parsing a DAG opens nothing."""

from __future__ import annotations

import logging
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from urllib.parse import urlsplit

from jobs.errors import MillraceError
from millrace.environment import Environment, Told, load_environment
from millrace.home import Home
from millrace.platforms import SparkPlatform, platform_for
from millrace.supervision.control import Notes

__all__ = ["Connection", "connect", "environment_for_task", "unanswered", "unanswered_servers", "unreachable"]

_TIMEOUT_S = 2.0


@dataclass(frozen=True)
class Connection:
    """An environment with its platform and the small JSON files of its lake."""

    environment: Environment
    platform: SparkPlatform
    notes: Notes


def connect(name: str | None, told: Told | None = None) -> Connection:
    """Connect to an environment, by default the one that `load_environment` chooses, which says what `told` is."""
    from millrace.lake.store import LakeStore  # here: it loads the storage client

    environment = environment_for_task(name, told)
    return Connection(environment, platform_for(environment), LakeStore(environment))


def environment_for_task(name: str | None = None, told: Told | None = None, home: Home | None = None) -> Environment:
    """The environment, with clients that do not tell every request in the task's log."""
    logging.getLogger("azure").setLevel(logging.WARNING)
    return load_environment(name, told=told, home=home)


def unreachable(name: str | None) -> str | None:
    """What of an environment does not answer, and what to do; None when Kafka and the lake accept connections."""
    try:
        environment = load_environment(name)
    except MillraceError as error:
        return str(error)
    return unanswered(environment)


def unanswered(environment: Environment) -> str | None:
    """What of this environment does not answer, and what to do; None when all does."""
    storage = urlsplit(environment.storage.blob_endpoint)
    lake = f"{storage.hostname}:{storage.port or (443 if storage.scheme == 'https' else 80)}"
    return unanswered_servers(environment, {"Kafka": environment.kafka_bootstrap, "the lake's storage": lake})


def unanswered_servers(
    environment: Environment, servers: Mapping[str, str], remedies: Mapping[str, str] | None = None
) -> str | None:
    """Of these servers of the environment, `host:port[,host:port]` by what they are, the first that do not answer.

    `remedies` are those for servers that the DAG `provision` does not make.
    """
    for what, addresses in servers.items():
        if not any(_accepts(server) for server in addresses.split(",")):
            remedy = (remedies or {}).get(what, "run the DAG `provision`")
            return f"environment {environment.name!r}: {what} at {addresses} does not answer; {remedy}"
    return None


def _accepts(server: str) -> bool:
    host, _, port = server.strip().rpartition(":")
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=_TIMEOUT_S):
            return True
    except OSError:
        return False

"""Kafka's brokers as they advertise themselves, asked from where Airflow's task runs."""

from __future__ import annotations

import socket
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from jobs.reach import host_and_port, why_unreached

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from millrace.environment import Environment

__all__ = ["admin_of", "advertised_brokers", "behind", "quiet_admin", "require_reachable", "under_replicated"]

_TIMEOUT_S = 15
_REMEDY = (
    "Airflow makes topics, and asks Kafka for offsets, from its own workers: run them in Kafka's virtual network, or in"
    " one that is peered or connected with it by VPN, with their address range in the template's `brokerClients`, and"
    " where names do not resolve let brokers advertise addresses, or link the private DNS zone; then clear this task"
)


def admin_of(environment: Environment) -> AdminClient:
    """A client for the environment's Kafka, with its security settings."""
    return quiet_admin(environment.kafka_bootstrap, environment.kafka_options)


def quiet_admin(bootstrap: str, options: Mapping[str, str]) -> AdminClient:
    """A client that raises what goes wrong, and does not write it to stderr too; `options` under librdkafka's names."""
    from confluent_kafka.admin import AdminClient  # here: what only names brokers does not load librdkafka

    return AdminClient({"log_level": 0, **options, "bootstrap.servers": bootstrap})


def advertised_brokers(environment: Environment) -> dict[int, str]:
    """Each broker's `host:port` as it advertises it, by its id: the same for all who ask at the same listener.

    Raises MillraceError where no bootstrap server is reached from here, and where Kafka does not let us in.
    """
    from confluent_kafka import KafkaException

    servers = [server.strip() for server in environment.kafka_bootstrap.split(",")]
    reasons = _unreached(servers)
    if len(reasons) == len(servers):
        raise MillraceError(f"environment {environment.name!r}: {_told(reasons)}. {_REMEDY}")
    try:
        brokers = admin_of(environment).list_topics(timeout=_TIMEOUT_S).brokers
    except KafkaException as error:
        raise MillraceError(
            f"environment {environment.name!r}: Kafka at {environment.kafka_bootstrap} is connected to, and answers"
            f" {error.args[0].str()}; correct the login and the certificates in the environment's file (its table"
            " [kafka]) and connection, then clear this task"
        ) from error
    return {number: f"{_bracketed(str(each.host))}:{each.port}" for number, each in sorted(brokers.items())}


def under_replicated(environment: Environment) -> list[str]:
    """`<topic>-<partition>` of each partition whose replicas are not all in sync. Raises MillraceError where Kafka does
    not answer."""
    from confluent_kafka import KafkaException

    try:
        return behind(admin_of(environment).list_topics(timeout=_TIMEOUT_S))
    except KafkaException as error:
        raise MillraceError(
            f"environment {environment.name!r}: Kafka at {environment.kafka_bootstrap} does not tell of its replicas:"
            f" {error.args[0].str()}. {_REMEDY}"
        ) from error


def behind(cluster: Any) -> list[str]:
    """Of a cluster's metadata (`list_topics`): partitions with a replica out of sync, or without a leader."""
    return sorted(
        f"{topic.topic}-{number}"
        for topic in cluster.topics.values()
        for number, each in topic.partitions.items()
        if each.leader < 0 or set(each.replicas) - set(each.isrs)
    )


def require_reachable(environment: Environment) -> dict[int, str]:
    """The same, once every broker is reached by what it advertises. Raises MillraceError for those that are not."""
    brokers = advertised_brokers(environment)
    if reasons := _unreached(brokers.values()):
        raise MillraceError(f"environment {environment.name!r}: {_told(reasons)}. {_REMEDY}")
    return brokers


def _unreached(servers: Iterable[str]) -> dict[str, str]:
    seen = {server: why_unreached(*host_and_port(server)) for server in servers}
    return {server: why for server, why in seen.items() if why is not None}


def _told(reasons: dict[str, str]) -> str:
    found = "; ".join(f"broker {server}: {why}" for server, why in reasons.items())
    return f"Kafka is not reached from Airflow's worker {socket.gethostname()}: {found}"


def _bracketed(host: str) -> str:
    return f"[{host}]" if ":" in host else host

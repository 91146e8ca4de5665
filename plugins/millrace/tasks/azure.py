"""The steps of `provision` on Azure that are no deployment themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError, UsageError

if TYPE_CHECKING:
    from millrace.azure.environments import Environments

__all__ = ["advertise", "are_connected", "declare", "expiry"]

_log = logging.getLogger(__name__)
_LOGIN = "millrace"  # as main.json's clusterLogin has it by default
_PORT = 9092
_NETWORK_API = "2024-01-01"
_NEEDED = ("region", "prefix", "operator_principal_id", "ssh_public_key")


def declare(params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Values for main.json from the DAG's form, by parameter name, with no secret among them.

    Raises UsageError for what Azure needs and the form does not say.
    """
    missing = [name for name in _NEEDED if not params[name]]
    if missing:
        raise UsageError(f"platform 'azure' needs {', '.join(missing)}; fill in the form's section `Azure`")
    return {
        "prefix": params["prefix"],
        "layout": params["layout"],
        "kafka": params["kafka"],
        "operatorPrincipalId": params["operator_principal_id"],
        "sshPublicKey": params["ssh_public_key"],
        "clients": list(params["clients"]),
        "secretsExpire": int(expiry(now).timestamp()),
        **params["parameters"],
    }


def expiry(now: datetime) -> datetime:
    """When secrets end: with the year after this one. The same all year, so that a second run changes nothing."""
    return datetime(now.year + 2, 1, 1, tzinfo=UTC)


def are_connected(peerings: list[str], environments: Environments) -> bool:
    """Whether every side of the peering reads Connected. Raises MillraceError for one that is missing or cut off."""
    states = {name: _peering_state(name, environments) for name in peerings}
    for name, state in states.items():
        if state in (None, "Disconnected"):
            raise MillraceError(
                f"peering {name} is {state or 'not there'}; delete what is left of it on both sides, then clear the "
                "task `deploy`"
            )
    return all(state == "Connected" for state in states.values())


def advertise(gateway: str, conn_id: str) -> list[str]:
    """Kafka's brokers as `<address>:<port>`, once they advertise their addresses; `gateway` is the Kafka cluster's.

    The connection has the gateway's login and password. Raises MillraceError where Ambari refuses or a restart fails.
    """
    from airflow.sdk import BaseHook

    from millrace.azure.advertising import advertise_addresses
    from millrace.azure.ambari import Ambari

    connection = BaseHook.get_connection(conn_id)
    ambari = Ambari(gateway, connection.login or _LOGIN, str(connection.password))
    restarted = advertise_addresses(ambari)
    _log.info("restarted: %s", ", ".join(restarted) or "no broker, all advertise their addresses")
    return [f"{broker.address}:{_PORT}" for broker in ambari.brokers()]


def _peering_state(name: str, environments: Environments) -> str | None:
    found = environments.find(name, _NETWORK_API)
    return str(found["properties"].get("peeringState")) if found else None

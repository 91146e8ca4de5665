"""The steps of `provision` on Azure that are no deployment themselves."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError, UsageError
from jobs.topics import TOPICS
from millrace.azure.arm import TEMPLATES, read_parameters
from millrace.azure.event_hubs import asked_hubs, require_as_declared
from millrace.declared_topics import declared_topics

if TYPE_CHECKING:
    from millrace.azure.ambari import Ambari
    from millrace.azure.environments import Environments

__all__ = [
    "advertise",
    "are_connected",
    "are_names_needed",
    "check_event_hubs",
    "declare",
    "expiry",
    "name_records",
    "tell",
]

_log = logging.getLogger(__name__)
_LOGIN = "millrace"  # as main.json's clusterLogin has it by default
_EVENT_HUBS_API = "2024-01-01"
_NETWORK_API = "2024-01-01"
_NEEDED = ("region", "prefix", "operator_principal_id", "ssh_public_key")


def declare(params: Mapping[str, Any], now: datetime) -> dict[str, Any]:
    """Values for main.json from the DAG's form, by parameter name, with no secret among them.

    Raises UsageError for what Azure needs and the form does not say, and for topics that Event Hubs cannot keep.
    """
    missing = [name for name in _NEEDED if not params[name]]
    if missing:
        raise UsageError(f"platform 'azure' needs {', '.join(missing)}; fill in the form's section `Azure`")
    asked = {
        "prefix": params["prefix"],
        "layout": params["layout"],
        "kafka": params["kafka"],
        "operatorPrincipalId": params["operator_principal_id"],
        "sshPublicKey": params["ssh_public_key"],
        "clients": list(params["clients"]),
        "secretsExpire": int(expiry(now).timestamp()),
        "rawTopics": sorted(TOPICS),
        **params["parameters"],
    }
    if asked["kafka"] != "eventhubs":
        return asked
    filed = read_parameters(TEMPLATES / "parameters" / f"{params['size']}.json")
    return {"eventHubsTopics": asked_hubs(declared_topics(), (filed | asked)["eventHubsSku"]), **asked}


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


def are_names_needed(params: Mapping[str, Any], outputs: Mapping[str, Any]) -> bool:
    """Whether the form asks for brokers by name, and there is a network that does not resolve their names by itself:
    Spark's with Databricks, or one of `brokerNetworks`, such as Airflow's."""
    has_network = params["layout"] == "databricks" or bool(params["parameters"].get("brokerNetworks"))
    return params["brokers"] == "names" and "kafkaGateway" in outputs and has_network


def name_records(outputs: Mapping[str, Any], conn_id: str) -> dict[str, Any]:
    """The parameters of main.json by which a peered network resolves the brokers' names, as Ambari tells them.

    The connection is as for `advertise`. Raises MillraceError where Ambari refuses, or the names are of no one domain.
    """
    from millrace.azure.broker_names import broker_records

    records = broker_records(_ambari(outputs["kafkaGateway"], conn_id).brokers())
    _log.info("zone %s: %s", records["brokerZone"], records["brokers"])
    return records


def advertise(outputs: Mapping[str, Any], name: str, conn_id: str, *, by_address: bool = True) -> list[str]:
    """Kafka's brokers as `<address>:<port>`, or `<name>:<port>`, once they advertise these, at the port that clients of
    the environment `name` speak to.

    The connection has the login and password of the Kafka cluster's gateway. Raises MillraceError where Ambari refuses,
    a restart fails, or Kafka does not tell from here, for half an hour, that its replicas have caught up.
    """
    from millrace.azure.advertising import advertise_addresses, advertise_names
    from millrace.azure.endpoints import bootstrap_of, kafka_protocol, told_by
    from millrace.environment import environment_file
    from millrace.kafka_brokers import under_replicated
    from millrace.supervision.connection import environment_for_task

    ambari = _ambari(outputs["kafkaGateway"], conn_id)
    bootstrap = bootstrap_of(ambari, kafka_protocol(environment_file(name)), by_address=by_address)
    environment = environment_for_task(name, told_by(outputs, bootstrap))
    set_right = advertise_addresses if by_address else advertise_names
    restarted = set_right(ambari, lambda: under_replicated(environment))
    what = "addresses" if by_address else "names"
    _log.info("restarted: %s", ", ".join(restarted) or f"no broker, all advertise their {what}")
    return bootstrap.split(",")


def tell(outputs: Mapping[str, Any], name: str, conn_id: str, *, by_address: bool) -> dict[str, dict[str, str]]:
    """What the deployment tells of the environment `name`, whose file may leave it empty, by table and field.

    Kafka's brokers are told by their addresses, or else by their names. Raises MillraceError where Ambari refuses, and
    where no listener of Kafka is as the environment's clients are set.
    """
    from millrace.azure.endpoints import bootstrap_of, differing, kafka_protocol, told_by, written
    from millrace.environment import environment_file

    file = environment_file(name)
    if gateway := outputs.get("kafkaGateway"):
        ambari = _ambari(gateway, conn_id)
        bootstrap = bootstrap_of(ambari, kafka_protocol(file), by_address=by_address)
    else:
        bootstrap = str(outputs["eventHubs"])
    told = told_by(outputs, bootstrap)
    _log.info("%s may say, where it is empty:\n%s", file.path, written(told))
    for line in differing(file, told):
        _log.warning("%s; the file's is used", line)
    return told


def check_event_hubs(outputs: Mapping[str, Any], subscription: str, environments: Environments) -> dict[str, str]:
    """Event Hubs' topics are made by the deployment. Raises MillraceError for one that is not as it is declared."""
    namespace = str(outputs["eventHubs"]).partition(".")[0]
    group = f"/subscriptions/{subscription}/resourceGroups/{outputs['resourceGroup']}"
    done = {}
    for topic in declared_topics():
        hub = f"{group}/providers/Microsoft.EventHub/namespaces/{namespace}/eventhubs/{topic.name}"
        found = environments.find(hub, _EVENT_HUBS_API)
        if found is None:
            raise MillraceError(
                f"topic {topic.name!r}: the Event Hubs namespace {namespace} does not have it; run the DAG `provision`"
                " again, without `eventHubsTopics` among *Parameters*"
            )
        done[topic.name] = f"made by the deployment, {require_as_declared(topic, found['properties'])}"
        _log.info("topic %s: %s", topic.name, done[topic.name])
    return done


def _ambari(gateway: str, conn_id: str) -> Ambari:
    from airflow.sdk import BaseHook

    from millrace.azure.ambari import Ambari

    connection = BaseHook.get_connection(conn_id)
    return Ambari(gateway, connection.login or _LOGIN, str(connection.password))


def _peering_state(name: str, environments: Environments) -> str | None:
    found = environments.find(name, _NETWORK_API)
    return str(found["properties"].get("peeringState")) if found else None

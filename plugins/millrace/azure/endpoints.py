"""What an environment's file says of a deployment, as its outputs and Ambari tell it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from jobs.errors import MillraceError

if TYPE_CHECKING:
    from millrace.azure.ambari import Ambari
    from millrace.environment_file import Table

__all__ = ["bootstrap_of", "differing", "kafka_protocol", "told_by", "written"]


def told_by(outputs: Mapping[str, Any], bootstrap: str) -> dict[str, dict[str, str]]:
    """Values by table and field: see `millrace.environment.load_environment`."""
    told = {"lake": {"account": str(outputs["storageAccount"])}, "kafka": {"bootstrap": bootstrap}}
    if gateway := outputs.get("sparkGateway"):
        told["hdinsight"] = {"cluster": str(urlsplit(gateway).hostname).partition(".")[0]}
    if url := outputs.get("databricksUrl"):
        told["databricks"] = {"host": str(url)}
    return told


def kafka_protocol(file: Table) -> str:
    """The security protocol of Kafka's clients that an environment's file asks for."""
    kafka = file.table("kafka").values
    return str(kafka.get("security.protocol") or ("SASL_SSL" if kafka.get("connection") else "PLAINTEXT")).upper()


def bootstrap_of(ambari: Ambari, protocol: str, *, by_address: bool) -> str:
    """The brokers of the cluster, at the port where they speak `protocol`; by their addresses, or by their names.

    Raises MillraceError where they speak it nowhere.
    """
    listeners = str(ambari.configuration("kafka-broker")["properties"]["listeners"])
    ports: dict[str, str] = {}
    for listener in listeners.split(","):
        spoken, _, where = listener.strip().partition("://")
        ports.setdefault(spoken.upper(), where.rpartition(":")[2])
    if protocol not in ports:
        raise MillraceError(
            f"Kafka's listeners are {listeners}; the environment's clients are set to {protocol}, which none of them"
            " speaks; set kafka-broker/listeners in Ambari and restart Kafka, or correct the environment's table"
            " [kafka], then clear this task"
        )
    brokers = ambari.brokers()
    return ",".join(f"{one.address if by_address else one.host}:{ports[protocol]}" for one in brokers)


def differing(file: Table, told: Mapping[str, Mapping[str, str]]) -> list[str]:
    """A line for each field of the file that says something else than the deployment."""
    return [
        f"{file.path}: {name}.{field} is {value!r}, the deployment's is {said!r}"
        for name, fields in told.items()
        for field, said in fields.items()
        if (value := file.table(name).values.get(field)) not in (None, "", said)
    ]


def written(told: Mapping[str, Mapping[str, str]]) -> str:
    """As the file has it, to be copied."""
    tables = (
        f"[{name}]\n" + "".join(f'{f} = "{value}"\n' for f, value in fields.items()) for name, fields in told.items()
    )
    return "\n".join(tables)

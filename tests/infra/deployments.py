"""Every kind of deployment that the templates offer, evaluated: two layouts, two kinds of Kafka, two sizes."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from millrace.azure.arm import TEMPLATES, Deployment, Resource, Scope, compose, evaluate, read_parameters

SCOPE = Scope(
    subscription_id="11111111-2222-3333-4444-555555555555",
    tenant_id="99999999-8888-7777-6666-555555555555",
    deployment_name="provision",
    location="northeurope",
)
PASSWORD = "a-Secret-that-must-not-leak-1"
GIVEN: dict[str, Any] = {
    "prefix": "mr",
    "operatorPrincipalId": "77777777-2222-3333-4444-555555555555",
    "secretsExpire": 1_900_000_000,
    "clusterPassword": PASSWORD,
    "sshPublicKey": "ssh-ed25519 AAAA",
    "clients": ["203.0.113.7/32"],
}
BROKERS = {
    "brokerZone": "abcdefgh.ax.internal.cloudapp.net",
    "brokers": [{"name": f"wn{n}-kafka", "address": f"10.60.0.{4 + n}"} for n in range(3)],
}


@dataclass(frozen=True)
class Case:
    """What a person chooses; `full` adds everything optional."""

    layout: str
    kafka: str
    size: str
    full: bool

    def __str__(self) -> str:
        return f"{self.layout}-{self.kafka}-{self.size}{'-full' if self.full else ''}"

    def parameters(self) -> dict[str, Any]:
        """Values for main.json."""
        optional: dict[str, Any] = {
            "interactiveQuery": True,
            "deployBatch": True,
            "synapse": True,
            "kafkaRestProxyGroup": {"groupId": "66666666-2222-3333-4444-555555555555", "groupName": "kafka-rest"},
            "kafkaScriptActions": [{"name": "advertise", "uri": "abfs://kafka@x/advertise.sh", "parameters": ""}],
            **BROKERS,
        }
        chosen = {"layout": self.layout, "kafka": self.kafka}
        return parameter_file(self.size) | GIVEN | chosen | (optional if self.full else {})


A = Case("hdinsight", "cluster", "dev", full=False)
B = Case("databricks", "cluster", "prod", full=True)
EVENT_HUBS = Case("databricks", "eventhubs", "dev", full=False)
CLUSTERS = "Microsoft.HDInsight/clusters"
CASES = [
    Case(layout, kafka, size, full)
    for layout in ("hdinsight", "databricks")
    for kafka in ("cluster", "eventhubs")
    for size in ("dev", "prod")
    for full in (False, True)
]


def parameter_file(size: str) -> dict[str, Any]:
    """The values of a parameter file that is shipped."""
    return read_parameters(TEMPLATES / "parameters" / f"{size}.json")


@lru_cache(maxsize=1)
def composed() -> dict[str, Any]:
    """main.json with its modules."""
    return compose()


@lru_cache
def deployed(case: Case) -> Deployment:
    """The evaluated deployment of a case."""
    return evaluate(composed(), case.parameters(), SCOPE)


def resources(case: Case) -> list[Resource]:
    """All resources of a case."""
    return list(deployed(case).everything())


def of_type(case: Case, resource_type: str) -> list[Resource]:
    """The resources of one type."""
    return [resource for resource in resources(case) if resource.type == resource_type]


def one_each() -> list[Resource]:
    """Every distinct resource of all cases: (type, body) once."""
    seen: dict[str, Resource] = {}
    for case in CASES:
        for resource in resources(case):
            seen.setdefault(f"{resource.id} {resource.body!r}", resource)
    return list(seen.values())

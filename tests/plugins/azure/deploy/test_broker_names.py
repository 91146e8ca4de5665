"""Names of Kafka's brokers in a peered network: a private DNS zone, once Ambari tells them."""

from __future__ import annotations

import pytest

from jobs.errors import MillraceError
from millrace.azure.ambari import Broker
from millrace.azure.broker_names import broker_records
from millrace.tasks.azure import are_names_needed, name_records
from tests.azure_control_plane.cloud import Azure
from tests.infra.deployments import PASSWORD, Case
from tests.plugins.azure.deploy.tries import finished

DOMAIN = "abcdefgh.ax.internal.cloudapp.net"
PEERED = Case("databricks", "cluster", "dev", full=False)


def zones(azure: Azure) -> dict[str, list[str]]:
    """Addresses by name, as the private DNS zones have them."""
    stored = (one.resource for one in azure.manager.resources.known.values())
    records = [one for one in stored if one.type == "Microsoft.Network/privateDnsZones/A"]
    return {one.name: [each["ipv4Address"] for each in one.body["properties"]["aRecords"]] for one in records}


def test_names_that_ambari_tells_become_records_and_nothing_else_changes(azure: Azure) -> None:
    azure.clusters_password = PASSWORD
    azure.ambari.started_with = {f"wn{n}-kafka.{DOMAIN}": dict(azure.ambari.desired) for n in range(3)}
    outputs = finished(PEERED)
    assert zones(azure) == {}, "no broker has a name before there is a cluster"
    azure.manager.created.clear()
    records = name_records(outputs, "azure_clusters")
    assert finished(PEERED, **records) == outputs
    assert zones(azure) == {f"{DOMAIN}/wn{n}-kafka": [f"10.60.0.{4 + n}"] for n in range(3)}
    assert not [one for one in azure.manager.created if one.type == "Microsoft.HDInsight/clusters"]

    azure.manager.created.clear()
    finished(PEERED, **records)
    assert azure.manager.created == [], "a second run changes nothing"
    finished(PEERED)
    assert len(zones(azure)) == 3, "nor does the deployment without names take them away"


@pytest.mark.parametrize(
    ("layout", "brokers", "parameters", "needed"),
    [
        ("databricks", "names", {}, True),
        ("databricks", "addresses", {"brokerNetworks": ["airflow"]}, False),
        ("hdinsight", "names", {"brokerNetworks": ["airflow"]}, True),
        ("hdinsight", "names", {}, False),
    ],
)
def test_names_are_told_to_networks_that_do_not_resolve_them(
    layout: str, brokers: str, parameters: dict[str, list[str]], needed: bool
) -> None:
    form = {"layout": layout, "brokers": brokers, "parameters": parameters}
    assert are_names_needed(form, {"kafkaGateway": "https://kafka-mr.azurehdinsight.net"}) is needed
    assert not are_names_needed(form, {"eventHubs": "mr.servicebus.windows.net:9093"})


@pytest.mark.parametrize(
    "hosts", [[], ["wn0-kafka", "wn1-kafka"], [f"wn0-kafka.{DOMAIN}", "wn1-kafka.other.internal.cloudapp.net"]]
)
def test_names_of_no_one_domain_are_told(hosts: list[str]) -> None:
    with pytest.raises(MillraceError, match="a private DNS zone needs names of one domain"):
        broker_records([Broker(host, "10.60.0.4", is_stale=False) for host in hosts])

"""Who gets through the firewalls of the lake, the vault and Event Hubs: the networks of clusters and of Spark alone."""

from __future__ import annotations

from typing import Any

import pytest

from tests.infra.deployments import CASES, Case, of_type

LAKE, VAULT, EVENT_HUBS = "Microsoft.Storage", "Microsoft.KeyVault", "Microsoft.EventHub"
SPARKS_SUBNETS = {
    "hdinsight": {"mr-{size}-clusters/spark"},
    "databricks": {"mr-{size}-databricks/public", "mr-{size}-databricks/private"},
}


def firewalls(case: Case) -> dict[str, dict[str, Any]]:
    """The rules of each service that has some, by its resource provider."""
    found = {
        LAKE: [one.body["properties"]["networkAcls"] for one in of_type(case, f"{LAKE}/storageAccounts")],
        VAULT: [one.body["properties"]["networkAcls"] for one in of_type(case, f"{VAULT}/vaults")],
        EVENT_HUBS: [one.body["properties"] for one in of_type(case, f"{EVENT_HUBS}/namespaces/networkRuleSets")],
    }
    return {service: rules for service, (rules,) in ((name, each) for name, each in found.items() if each)}


def admitted(rules: dict[str, Any]) -> set[str]:
    """`<network>/<subnet>` of each subnet that gets through."""
    ids = [rule["subnet"]["id"] if "subnet" in rule else rule["id"] for rule in rules["virtualNetworkRules"]]
    parts = [each.split("/") for each in ids]
    return {f"{each[-3]}/{each[-1]}" for each in parts}


def endpoints(case: Case) -> dict[str, set[str]]:
    """Of each subnet that is deployed: the services that see its addresses."""
    return {
        f"{network.name}/{subnet['name']}": {
            each["service"] for each in subnet["properties"].get("serviceEndpoints", [])
        }
        for network in of_type(case, "Microsoft.Network/virtualNetworks")
        for subnet in network.body["properties"]["subnets"]
    }


@pytest.mark.parametrize("case", CASES, ids=str)
def test_spark_gets_through_every_firewall_and_nobody_gets_through_by_default(case: Case) -> None:
    found = firewalls(case)
    assert set(found) == {LAKE, VAULT} | ({EVENT_HUBS} if case.kafka == "eventhubs" else set())
    for rules in found.values():
        assert rules["defaultAction"] == "Deny"
        assert {each.format(size=case.size) for each in SPARKS_SUBNETS[case.layout]} <= admitted(rules)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_what_a_firewall_admits_is_deployed_and_comes_by_an_endpoint_of_that_service(case: Case) -> None:
    """A rule for a subnet without the service's endpoint admits nobody: its traffic has a public address."""
    there = endpoints(case)
    for service, rules in firewalls(case).items():
        assert {subnet for subnet in admitted(rules) if service not in there.get(subnet, set())} == set()

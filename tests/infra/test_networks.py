"""Who reaches what: security groups, subnets, broker names."""

from __future__ import annotations

import re
from typing import Any

import pytest

from millrace.azure.arm import evaluate
from tests.infra.deployments import BROKERS, CASES, CLUSTERS, SCOPE, A, B, Case, composed, of_type


def rules(case: Case, group: str) -> dict[str, dict[str, Any]]:
    found = next(one for one in of_type(case, "Microsoft.Network/networkSecurityGroups") if one.name == group)
    return {each["name"]: each["properties"] for each in found.body["properties"]["securityRules"]}


def test_brokers_take_connections_from_spark_alone_and_management_on_443_alone() -> None:
    found = rules(A, "mr-dev-clusters-kafka")
    assert found["brokers"]["sourceAddressPrefixes"] == ["10.60.1.0/24"]
    assert found["brokers"]["destinationAddressPrefix"] == "10.60.0.0/24"
    assert found["brokers"]["destinationPortRanges"] == ["9092", "9093"]
    management = found["hdinsight-management"]
    assert (management["sourceAddressPrefix"], management["destinationPortRange"]) == ("HDInsight", "443")
    assert found["gateway-clients"]["sourceAddressPrefixes"] == ["203.0.113.7/32"]
    denied = found["nothing-else"]
    assert (denied["access"], denied["sourceAddressPrefix"], denied["priority"]) == ("Deny", "*", 4096)


@pytest.mark.parametrize("case", [A, B], ids=str)
def test_spark_and_query_take_management_on_443_and_each_its_own_subnet_and_nothing_else(case: Case) -> None:
    found = rules(case, f"mr-{case.size}-clusters-compute")
    inside = {name: rule for name, rule in found.items() if name.startswith("within-")}
    assert {(rule["sourceAddressPrefix"], rule["destinationAddressPrefix"]) for rule in inside.values()} == {
        ("10.60.1.0/24", "10.60.1.0/24"),
        ("10.60.2.0/24", "10.60.2.0/24"),
    }
    others = {name: rule for name, rule in found.items() if name not in inside}
    assert set(others) == {"hdinsight-management", "load-balancer", "gateway-clients", "nothing-else"}
    management, denied = others["hdinsight-management"], others["nothing-else"]
    assert (management["sourceAddressPrefix"], management["destinationPortRange"]) == ("HDInsight", "443")
    assert (denied["direction"], denied["access"], denied["sourceAddressPrefix"], denied["priority"]) == (
        *("Inbound", "Deny", "*"),
        4096,
    )
    assert max(rule["priority"] for rule in found.values() if rule is not denied) < 4096


def test_databricks_machines_are_in_our_network_without_public_addresses() -> None:
    (workspace,) = of_type(B, "Microsoft.Databricks/workspaces")
    told = {name: each["value"] for name, each in workspace.body["properties"]["parameters"].items()}
    network = next(
        one for one in of_type(B, "Microsoft.Network/virtualNetworks") if one.id == told["customVirtualNetworkId"]
    )
    assert told["enableNoPublicIp"] is True
    subnets = {each["name"]: each["properties"] for each in network.body["properties"]["subnets"]}
    assert set(subnets) == {told["customPublicSubnetName"], told["customPrivateSubnetName"]}
    for subnet in subnets.values():
        assert [each["properties"]["serviceName"] for each in subnet["delegations"]] == [workspace.type]
        assert subnet["networkSecurityGroup"]["id"].endswith("/mr-prod-databricks")
    let_in = [rule for rule in rules(B, "mr-prod-databricks").values() if rule["direction"] == "Inbound"]
    assert [(rule["access"], rule["sourceAddressPrefix"]) for rule in let_in] == [("Allow", "VirtualNetwork")]


def test_brokers_of_layout_b_take_connections_from_the_peered_network_and_from_no_spark_beside_them() -> None:
    assert rules(B, "mr-prod-clusters-kafka")["brokers"]["sourceAddressPrefixes"] == ["10.60.16.0/20"]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_brokers_take_connections_only_from_subnets_in_which_there_is_spark(case: Case) -> None:
    groups = [one for one in of_type(case, "Microsoft.Network/networkSecurityGroups") if one.name.endswith("-kafka")]
    kinds = {one.body["properties"]["clusterDefinition"]["kind"] for one in of_type(case, CLUSTERS)}
    for group in groups:
        let_in = rules(case, group.name)["brokers"]["sourceAddressPrefixes"]
        assert let_in, "Azure refuses a rule without a source"
        assert ("10.60.1.0/24" in let_in) == ("SPARK" in kinds)


def test_without_clients_no_rule_lets_anybody_in() -> None:
    alone = evaluate(composed(), A.parameters() | {"clients": []}, SCOPE)
    groups = [one for one in alone.everything() if one.type == "Microsoft.Network/networkSecurityGroups"]
    names = {rule["name"] for group in groups for rule in group.body["properties"]["securityRules"]}
    assert len(groups) == 2
    assert "gateway-clients" not in names


def test_every_subnet_has_a_security_group_and_the_nat_gateway() -> None:
    networks = [one for case in CASES for one in of_type(case, "Microsoft.Network/virtualNetworks")]
    for subnet in [each for one in networks for each in one.body["properties"]["subnets"]]:
        assert subnet["properties"]["networkSecurityGroup"]["id"]
        assert subnet["properties"]["natGateway"]["id"]
        assert subnet["properties"]["defaultOutboundAccess"] is False


def test_broker_names_resolve_in_the_peered_network() -> None:
    records = of_type(B, "Microsoft.Network/privateDnsZones/A")
    assert [one.name for one in records] == [f"abcdefgh.ax.internal.cloudapp.net/wn{n}-kafka" for n in range(3)]
    (link,) = of_type(B, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    assert link.body["properties"]["virtualNetwork"]["id"].endswith("/virtualNetworks/mr-prod-databricks")
    own = (
        f"/subscriptions/{SCOPE.subscription_id}/resourceGroups/own/providers/Microsoft.Network/virtualNetworks/airflow"
    )
    more = evaluate(composed(), B.parameters() | {"brokerNetworks": [own]}, SCOPE)
    linked = [one.body["properties"] for one in more.everything() if one.type.endswith("/virtualNetworkLinks")]
    assert [one["virtualNetwork"]["id"].rpartition("/")[2] for one in linked] == ["mr-prod-databricks", "airflow"]


def test_networks_named_alike_in_two_resource_groups_are_both_told_the_names() -> None:
    own = f"/subscriptions/{SCOPE.subscription_id}/resourceGroups/{{}}/providers/Microsoft.Network/virtualNetworks/main"
    networks = [own.format(group) for group in ("airflow", "producers")]
    found = evaluate(composed(), A.parameters() | BROKERS | {"brokerNetworks": networks}, SCOPE).everything()
    links = [one for one in found if one.type.endswith("/virtualNetworkLinks")]
    assert [one.body["properties"]["virtualNetwork"]["id"] for one in links] == networks
    assert all(re.fullmatch(rf"{BROKERS['brokerZone']}/main-[a-z2-7]{{13}}", one.name) for one in links)


def test_with_hdinsights_spark_only_networks_that_are_named_are_told_the_names() -> None:
    own = (
        f"/subscriptions/{SCOPE.subscription_id}/resourceGroups/own/providers/Microsoft.Network/virtualNetworks/airflow"
    )
    told = A.parameters() | BROKERS
    assert not [one for one in evaluate(composed(), told, SCOPE).everything() if "privateDnsZones" in one.type]
    linked = evaluate(composed(), told | {"brokerNetworks": [own]}, SCOPE).everything()
    (link,) = [one for one in linked if one.type.endswith("/virtualNetworkLinks")]
    assert link.body["properties"]["virtualNetwork"]["id"] == own

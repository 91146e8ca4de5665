"""What each layout becomes: expected values are written down here, not taken from the templates."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millrace.azure.arm import Resource, evaluate
from tests.infra.deployments import CASES, PASSWORD, SCOPE, Case, composed, deployed, of_type, resources

A = Case("hdinsight", "cluster", "dev", full=False)
B = Case("databricks", "cluster", "prod", full=True)
EVENT_HUBS = Case("databricks", "eventhubs", "dev", full=False)
GROUP = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/mr-dev"
CLUSTERS = "Microsoft.HDInsight/clusters"


def cluster(case: Case, kind: str) -> dict[str, Any]:
    found = (one.body["properties"] for one in of_type(case, CLUSTERS))
    return next(body for body in found if body["clusterDefinition"]["kind"] == kind)


def role(properties: dict[str, Any], name: str) -> dict[str, Any]:
    roles = properties["computeProfile"]["roles"]
    return next(each for each in roles if each["name"] == name)  # type: ignore[no-any-return]


def rules(case: Case, group: str) -> dict[str, dict[str, Any]]:
    found = next(one for one in of_type(case, "Microsoft.Network/networkSecurityGroups") if one.name == group)
    return {each["name"]: each["properties"] for each in found.body["properties"]["securityRules"]}


def test_layout_a_is_two_clusters_in_one_network() -> None:
    kinds = [one.body["properties"]["clusterDefinition"]["kind"] for one in of_type(A, CLUSTERS)]
    assert sorted(kinds) == ["KAFKA", "SPARK"]
    assert [one.name for one in of_type(A, "Microsoft.Network/virtualNetworks")] == ["mr-dev-clusters"]
    assert not [one for one in resources(A) if one.type.startswith(("Microsoft.Databricks", "Microsoft.EventHub"))]


def test_layout_b_is_kafka_and_a_premium_workspace_in_networks_peered_both_ways() -> None:
    assert [one.body["sku"] for one in of_type(B, "Microsoft.Databricks/workspaces")] == [{"name": "premium"}]
    peerings = {
        one.name: one.body["properties"]["remoteVirtualNetwork"]["id"].rpartition("/")[2]
        for one in of_type(B, "Microsoft.Network/virtualNetworks/virtualNetworkPeerings")
    }
    assert peerings == {
        "mr-prod-clusters/to-mr-prod-databricks": "mr-prod-databricks",
        "mr-prod-databricks/to-mr-prod-clusters": "mr-prod-clusters",
    }
    assert len(deployed(B).outputs["peerings"]) == 2


def test_event_hubs_take_the_place_of_the_cluster_and_its_network() -> None:
    assert of_type(EVENT_HUBS, CLUSTERS) == []
    assert [one.name for one in of_type(EVENT_HUBS, "Microsoft.Network/virtualNetworks")] == ["mr-dev-databricks"]
    topics = of_type(EVENT_HUBS, "Microsoft.EventHub/namespaces/eventhubs")
    assert [one.body["properties"]["partitionCount"] for one in topics] == [4]
    assert deployed(EVENT_HUBS).outputs["eventHubs"].endswith(".servicebus.windows.net:9093")


@pytest.mark.parametrize("case", CASES, ids=str)
def test_clusters_of_a_network_differ_in_the_first_six_characters_of_their_names(case: Case) -> None:
    names = [one.name[:6] for one in of_type(case, CLUSTERS)]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("case", CASES, ids=str)
def test_everything_lies_in_the_group_bears_the_tag_and_is_evaluated_to_the_end(case: Case) -> None:
    for one in resources(case):
        assert f"/resourceGroups/mr-{case.size}" in one.id
        assert one.body.get("tags", {"millrace-environment": case.size})["millrace-environment"] == case.size
        assert one.body.get("location", "northeurope") in ("northeurope", "global")
        assert "[parameters(" not in json.dumps(one.body)
        assert "[variables(" not in json.dumps(one.body)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_resource_comes_after_what_it_depends_on(case: Case) -> None:
    seen: set[str] = set()
    for one in [*deployed(case).resources]:
        assert set(one.depends_on) <= seen
        seen.add(one.id)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_the_password_goes_to_gateways_and_the_vault_alone_and_outputs_hold_no_secret(case: Case) -> None:
    holders = {one.type for one in resources(case) if PASSWORD in json.dumps(one.body)}
    assert holders <= {CLUSTERS, "Microsoft.KeyVault/vaults/secrets"}
    outputs = json.dumps(deployed(case).outputs, default=str)
    assert PASSWORD not in outputs
    assert "list" not in outputs


def test_evaluating_twice_gives_the_same_names_and_bodies() -> None:
    again = evaluate(composed(), B.parameters(), SCOPE)
    assert [(one.id, one.body) for one in again.everything()] == [(one.id, one.body) for one in resources(B)]


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


def test_brokers_of_layout_b_take_connections_from_the_peered_network_too() -> None:
    assert rules(B, "mr-prod-clusters-kafka")["brokers"]["sourceAddressPrefixes"] == ["10.60.1.0/24", "10.60.16.0/20"]


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


def lifecycle(case: Case) -> tuple[str, dict[str, Any]]:
    (policy,) = of_type(case, "Microsoft.Storage/storageAccounts/managementPolicies")
    (rule,) = policy.body["properties"]["policy"]["rules"]
    (prefix,) = rule["definition"]["filters"]["prefixMatch"]
    return prefix, rule["definition"]["actions"]["baseBlob"]


def test_the_raw_archive_grows_cold_but_not_its_delta_log_nor_its_dead_letters() -> None:
    prefix, actions = lifecycle(B)
    assert actions == {
        "tierToCool": {"daysAfterModificationGreaterThan": 30},
        "tierToArchive": {"daysAfterModificationGreaterThan": 730},
    }
    table = "lake/millrace/raw/stock_ticks"
    assert f"{table}/event_date=2026-11-20/part-00000.parquet".startswith(prefix)
    for kept in ("_delta_log/00000000000000000000.json", "event_date=__HIVE_DEFAULT_PARTITION__/part-0.parquet"):
        assert not f"{table}/{kept}".startswith(prefix)


def test_the_archive_tier_is_left_out_where_never_or_where_the_redundancy_has_none() -> None:
    assert set(lifecycle(A)[1]) == {"tierToCool"}
    zoned = evaluate(composed(), B.parameters() | {"storageSku": "Standard_ZRS"}, SCOPE)
    (policy,) = (one for one in zoned.everything() if one.type.endswith("/managementPolicies"))
    assert "tierToArchive" not in json.dumps(policy.body)


def test_the_storage_account_takes_no_keys_no_strangers_and_no_old_tls() -> None:
    (account,) = of_type(A, "Microsoft.Storage/storageAccounts")
    properties = account.body["properties"]
    expected = {
        "allowBlobPublicAccess": False,
        "allowSharedKeyAccess": False,
        "isHnsEnabled": True,
        "minimumTlsVersion": "TLS1_2",
        "supportsHttpsTrafficOnly": True,
    }
    assert {key: properties[key] for key in expected} == expected
    assert properties["networkAcls"]["defaultAction"] == "Deny"
    assert [rule["id"].rpartition("/")[2] for rule in properties["networkAcls"]["virtualNetworkRules"]] == [
        "kafka",
        "spark",
        "query",
    ]
    assert account.body["kind"] == "StorageV2"


def test_identities_get_roles_on_the_account_and_nothing_wider() -> None:
    grants = {(one.id.partition("/providers/")[2].split("/")[1], role_of(one)) for one in assignments(B)}
    assert grants == {
        ("storageAccounts", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),  # Storage Blob Data Owner: the clusters
        ("storageAccounts", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"),  # ... Contributor: Databricks, Airflow, Synapse
        ("vaults", "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"),  # Key Vault Secrets Officer: Airflow
    }


def assignments(case: Case) -> list[Resource]:
    return of_type(case, "Microsoft.Authorization/roleAssignments")


def role_of(assignment: Resource) -> str:
    return str(assignment.body["properties"]["roleDefinitionId"]).rpartition("/")[2]


def test_kafka_is_5_1_with_data_disks_tls_and_no_keys_and_its_size_is_the_files() -> None:
    kafka = cluster(B, "KAFKA")
    assert (kafka["clusterVersion"], kafka["minSupportedTlsVersion"]) == ("5.1", "1.2")
    assert role(kafka, "workernode")["dataDisksGroups"] == [{"disksPerNode": 2}]
    assert role(kafka, "workernode")["targetInstanceCount"] == 4
    (account,) = kafka["storageProfile"]["storageaccounts"]
    assert "key" not in account
    assert account["msiResourceId"].endswith("/userAssignedIdentities/mr-prod-clusters")
    assert [each["name"] for each in kafka["computeProfile"]["roles"]][-1] == "kafkamanagementnode"
    assert kafka["kafkaRestProperties"]["clientGroupInfo"]["groupName"] == "kafka-rest"
    assert "kafkamanagementnode" not in str(cluster(A, "KAFKA"))
    assert "kafkaRestProperties" not in cluster(A, "KAFKA")


def test_script_actions_run_on_head_nodes_and_workers_and_on_no_zookeeper() -> None:
    scripts = {each["name"]: each.get("scriptActions") for each in cluster(B, "KAFKA")["computeProfile"]["roles"]}
    (action,) = scripts["headnode"]
    assert action["name"] == "advertise"
    assert scripts["workernode"] == [action]
    assert scripts["zookeepernode"] is None


def test_sparks_workers_come_and_go_by_the_schedule() -> None:
    recurrence = role(cluster(A, "SPARK"), "workernode")["autoscale"]["recurrence"]
    assert recurrence["timeZone"] == "UTC"
    turns = [
        (turn["timeAndCapacity"]["time"], turn["timeAndCapacity"]["maxInstanceCount"])
        for turn in recurrence["schedule"]
    ]
    assert turns == [("07:00", 2), ("19:00", 1)]
    steady = evaluate(composed(), A.parameters() | {"sparkSchedule": []}, SCOPE)
    (spark,) = (one for one in steady.everything() if one.name.startswith("spark-"))
    assert "autoscale" not in json.dumps(spark.body)


def test_a_cluster_that_exists_can_be_left_alone() -> None:
    rest = evaluate(composed(), A.parameters() | {"deployKafka": False, "deploySpark": False}, SCOPE)
    assert not [one for one in rest.everything() if one.type == CLUSTERS]
    assert rest.outputs["sparkGateway"] == deployed(A).outputs["sparkGateway"]


def test_broker_names_resolve_in_the_peered_network() -> None:
    records = of_type(B, "Microsoft.Network/privateDnsZones/A")
    assert [one.name for one in records] == [f"abcdefgh.ax.internal.cloudapp.net/wn{n}-kafka" for n in range(3)]
    (link,) = of_type(B, "Microsoft.Network/privateDnsZones/virtualNetworkLinks")
    assert link.body["properties"]["virtualNetwork"]["id"].endswith("/virtualNetworks/mr-prod-databricks")


def test_outputs_are_what_jobs_need() -> None:
    outputs = deployed(A).outputs
    assert outputs["lake"] == f"abfss://lake@{outputs['storageAccount']}.dfs.core.windows.net/millrace"
    assert outputs["sparkGateway"].startswith("https://spark-mr-dev-")
    assert outputs["kafkaGateway"].endswith(".azurehdinsight.net")
    assert outputs["logWorkspaceId"] == f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/mr-dev"

"""What each layout becomes: expected values are written down here, not taken from the templates."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from millrace.azure.arm import Deployment, evaluate
from tests.infra.deployments import (
    CASES,
    CLUSTERS,
    EVENT_HUBS,
    PASSWORD,
    SCOPE,
    A,
    B,
    Case,
    composed,
    deployed,
    of_type,
    resources,
)

GROUP = "/subscriptions/11111111-2222-3333-4444-555555555555/resourceGroups/mr-dev"


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
    assert [one.body["properties"] for one in topics] == [
        {"partitionCount": 4, "retentionDescription": {"cleanupPolicy": "Delete", "retentionTimeInHours": 168}}
    ]
    assert deployed(EVENT_HUBS).outputs["eventHubs"].endswith(".servicebus.windows.net:9093")


def test_each_event_hub_keeps_its_records_as_long_as_its_topic_says() -> None:
    hubs = [{"name": f"kept_{hours}", "partitions": 1, "retentionHours": hours} for hours in (24, 2160)]
    made = evaluate(composed(), EVENT_HUBS.parameters() | {"eventHubsTopics": hubs}, SCOPE).everything()
    found = {one.name.rpartition("/")[2]: one for one in made if one.type == "Microsoft.EventHub/namespaces/eventhubs"}
    kept = {name: one.body["properties"]["retentionDescription"]["retentionTimeInHours"] for name, one in found.items()}
    assert kept == {"kept_24": 24, "kept_2160": 2160}


@pytest.mark.parametrize("case", CASES, ids=str)
def test_everything_lies_in_the_group_bears_the_tag_and_is_evaluated_to_the_end(case: Case) -> None:
    whose = f"mr-{case.size}"  # another project's resources of this size bear another tag
    for one in resources(case):
        assert f"/resourceGroups/mr-{case.size}" in one.id
        assert one.body.get("tags", {"millrace-environment": whose})["millrace-environment"] == whose
        assert one.body.get("location", "northeurope") in ("northeurope", "global")
        assert "[parameters(" not in json.dumps(one.body)
        assert "[variables(" not in json.dumps(one.body)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_a_resource_comes_after_what_it_depends_on_also_in_a_nested_deployment(case: Case) -> None:
    templates = list(every(deployed(case)))
    assert len(templates) > len(deployed(case).nested) > 0, "modules lie two levels deep: subscription, group, module"
    for template in templates:
        seen: set[str] = set()
        for one in template.resources:
            assert set(one.depends_on) <= seen
            seen.add(one.id)


def every(deployment: Deployment) -> Iterator[Deployment]:
    """This one, and those nested in it."""
    yield deployment
    for nested in deployment.nested.values():
        yield from every(nested)


def test_every_diagnostic_setting_reaches_the_log_workspace_and_belongs_to_what_is_deployed() -> None:
    logged = set()
    for case in (A, B, EVENT_HUBS):
        (workspace,) = of_type(case, "Microsoft.OperationalInsights/workspaces")
        ids = {one.id for one in resources(case)}
        for setting in of_type(case, "Microsoft.Insights/diagnosticSettings"):
            assert setting.body["properties"]["workspaceId"] == workspace.id
            assert any(log["enabled"] for log in setting.body["properties"]["logs"])
            belongs_to = setting.id.removesuffix("/providers/Microsoft.Insights/diagnosticSettings/to-log-analytics")
            assert belongs_to in ids
            logged.add(next(one.type for one in resources(case) if one.id == belongs_to))
    assert logged == {
        "Microsoft.Databricks/workspaces",
        "Microsoft.EventHub/namespaces",
        "Microsoft.KeyVault/vaults",
        "Microsoft.Storage/storageAccounts/blobServices",
        "Microsoft.Synapse/workspaces",
    }


def test_production_stands_in_one_zone_with_its_way_out_and_dev_in_none() -> None:
    zoned = (CLUSTERS, "Microsoft.Network/natGateways", "Microsoft.Network/publicIPAddresses")
    for case, zones in ((A, []), (B, ["1"])):
        found = [(one.type, one.body.get("zones", [])) for one in resources(case) if one.type in zoned]
        assert {kind for kind, _ in found} == set(zoned)
        assert all(stands == zones for _, stands in found), found


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


def test_outputs_are_what_jobs_need() -> None:
    outputs = deployed(A).outputs
    assert outputs["lake"] == f"abfss://lake@{outputs['storageAccount']}.dfs.core.windows.net/millrace"
    assert outputs["sparkGateway"].startswith("https://spark-mr-dev-")
    assert outputs["kafkaGateway"].endswith(".azurehdinsight.net")
    assert outputs["vaultId"].startswith(f"{GROUP}/providers/Microsoft.KeyVault/vaults/")
    assert outputs["logWorkspaceId"] == f"{GROUP}/providers/Microsoft.OperationalInsights/workspaces/mr-dev"

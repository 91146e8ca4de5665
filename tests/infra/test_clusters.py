"""The HDInsight clusters that each layout brings."""

from __future__ import annotations

import json
from typing import Any

import pytest

from millrace.azure.arm import evaluate
from tests.infra.deployments import CASES, CLUSTERS, SCOPE, A, B, Case, composed, deployed, of_type

CONTAINERS = "Microsoft.Storage/storageAccounts/blobServices/containers"


def cluster(case: Case, kind: str) -> dict[str, Any]:
    found = (one.body["properties"] for one in of_type(case, CLUSTERS))
    return next(body for body in found if body["clusterDefinition"]["kind"] == kind)


def role(properties: dict[str, Any], name: str) -> dict[str, Any]:
    roles = properties["computeProfile"]["roles"]
    return next(each for each in roles if each["name"] == name)  # type: ignore[no-any-return]


@pytest.mark.parametrize("case", CASES, ids=str)
def test_clusters_of_a_network_differ_in_the_first_six_characters_of_their_names(case: Case) -> None:
    names = [one.name[:6] for one in of_type(case, CLUSTERS)]
    assert len(names) == len(set(names))


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


def test_packages_go_to_the_spark_cluster_and_to_the_one_for_batch_runs() -> None:
    action = {"name": "packages-1", "uri": "abfs://spark@x/install.sh", "parameters": "abfs://spark@x/1.tar.gz"}
    given = A.parameters() | {"deployBatch": True, "sparkScriptActions": [action]}
    clusters = [one for one in evaluate(composed(), given, SCOPE).everything() if one.type == CLUSTERS]
    found = {one.name.partition("-")[0]: one.body["properties"]["computeProfile"]["roles"] for one in clusters}
    nodes = {
        kind: [role["name"] for role in roles if role.get("scriptActions") == [action]] for kind, roles in found.items()
    }
    assert nodes == {"kafka": [], "spark": ["headnode", "workernode"], "batch": ["headnode", "workernode"]}


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


@pytest.mark.parametrize(("size", "machine", "workers"), [("dev", "Standard_E8_V3", 1), ("prod", "Standard_E16_V3", 2)])
@pytest.mark.parametrize("layout", ["hdinsight", "databricks"])
def test_interactive_query_has_the_files_size_and_a_container_of_its_own(
    layout: str, size: str, machine: str, workers: int
) -> None:
    case = Case(layout, "cluster", size, full=True)
    query = cluster(case, "INTERACTIVEHIVE")
    found = {name: role(query, name) for name in ("headnode", "workernode", "zookeepernode")}
    assert [each["targetInstanceCount"] for each in found.values()] == [2, workers, 3]
    assert [found[name]["hardwareProfile"]["vmSize"] for name in ("headnode", "workernode")] == [machine, machine]
    assert "/subnets/query" in found["workernode"]["virtualNetworkProfile"]["subnet"]
    (account,) = query["storageProfile"]["storageaccounts"]
    assert (account["fileSystem"], "key" in account) == ("query", False)
    assert account["msiResourceId"].endswith(f"/userAssignedIdentities/mr-{size}-clusters")
    containers = {one.name.rpartition("/")[2] for one in of_type(case, CONTAINERS)}
    assert "query" in containers


@pytest.mark.parametrize("case", [case for case in CASES if not case.full], ids=str)
def test_there_is_no_interactive_query_that_nobody_asked_for(case: Case) -> None:
    kinds = {one.body["properties"]["clusterDefinition"]["kind"] for one in of_type(case, CLUSTERS)}
    assert "INTERACTIVEHIVE" not in kinds
    assert not [one for one in of_type(case, CONTAINERS) if one.name.endswith("/query")]


def test_a_cluster_that_exists_can_be_left_alone() -> None:
    rest = evaluate(composed(), A.parameters() | {"deployKafka": False, "deploySpark": False}, SCOPE)
    assert not [one for one in rest.everything() if one.type == CLUSTERS]
    assert rest.outputs["sparkGateway"] == deployed(A).outputs["sparkGateway"]

"""Templates, parameter files and evaluated resources against the JSON schemas that Microsoft publishes."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest

from millrace.azure.arm import TEMPLATES
from tests.infra.arm_schemas import ArmSchemas
from tests.infra.deployments import CASES, one_each, resources
from tests.infra.specs import specs_folder

FILES = sorted(TEMPLATES.rglob("*.json"))
# Types that the folder of definitions has no schema for. With one there, they are checked like the others.
NO_SCHEMA = {
    "Microsoft.Insights/diagnosticSettings",
    "Microsoft.KeyVault/vaults",
    "Microsoft.KeyVault/vaults/secrets",
    "Microsoft.Network/privateDnsZones",
    "Microsoft.Network/privateDnsZones/A",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks",
    "Microsoft.OperationalInsights/workspaces",
}
# Types whose schema in the folder is of another api-version, the newest there is; CONTRIBUTING.md names them.
OTHER_VERSION = {
    "Microsoft.EventHub/namespaces",
    "Microsoft.EventHub/namespaces/authorizationRules",
    "Microsoft.EventHub/namespaces/eventhubs",
    "Microsoft.EventHub/namespaces/networkRuleSets",
    "Microsoft.Network/natGateways",
    "Microsoft.Network/networkSecurityGroups",
    "Microsoft.Network/publicIPAddresses",
    "Microsoft.Network/virtualNetworks",
    "Microsoft.Network/virtualNetworks/virtualNetworkPeerings",
    "Microsoft.Resources/resourceGroups",
    "Microsoft.Storage/storageAccounts",
    "Microsoft.Storage/storageAccounts/blobServices",
    "Microsoft.Storage/storageAccounts/blobServices/containers",
    "Microsoft.Storage/storageAccounts/managementPolicies",
}


@pytest.fixture(scope="session")
def schemas() -> ArmSchemas:
    return ArmSchemas(specs_folder("arm-template-schemas/tree/schemas"))


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.relative_to(TEMPLATES).as_posix())
def test_a_file_is_what_the_schema_that_it_names_describes(schemas: ArmSchemas, path: Path) -> None:
    document = json.loads(path.read_text(encoding="utf-8"))
    version, _, name = document["$schema"].removesuffix("#").rpartition("/schemas/")[2].partition("/")
    if name == "subscriptionDeploymentTemplate.json":  # differs from this one in the resources that it lists
        version, name = "2019-04-01", "deploymentTemplate.json"
    # Resources are checked one by one once they are evaluated: the schema lists thousands of kinds that are not here.
    checked = document | ({"resources": []} if "resources" in document else {})
    assert schemas.errors_of_document(f"{version}/{name}", checked) == []


def test_every_evaluated_resource_is_what_its_schema_describes(schemas: ArmSchemas) -> None:
    checked = [resource for resource in one_each() if schemas.api_versions(resource.type)]
    wrong = {resource.id: schemas.errors(resource) for resource in checked}
    assert {key: errors for key, errors in wrong.items() if errors} == {}
    assert len({resource.type for resource in checked}) >= 22


def test_types_without_a_schema_are_known(schemas: ArmSchemas) -> None:
    types = {resource.type for case in CASES for resource in resources(case)}
    assert {kind for kind in types if not schemas.api_versions(kind)} <= NO_SCHEMA
    assert types >= NO_SCHEMA | OTHER_VERSION


def test_types_that_another_versions_schema_judges_are_known(schemas: ArmSchemas) -> None:
    checked = [resource for resource in one_each() if schemas.api_versions(resource.type)]
    assert {one.type for one in checked if schemas.judging(one) != one.api_version} <= OTHER_VERSION


@pytest.mark.parametrize(
    ("path", "value"),
    [("minSupportedTlsVersion", 1.2), ("osType", "Solaris"), ("minimalTlsVersion", "1.2")],
    ids=["wrong type", "not of the enum", "unknown property"],
)
def test_a_mistake_in_a_resource_is_found(schemas: ArmSchemas, path: str, value: object) -> None:
    cluster = next(resource for resource in resources(CASES[0]) if resource.type == "Microsoft.HDInsight/clusters")
    properties = dict(cluster.body["properties"]) | {path: value}
    wrong = dataclasses.replace(cluster, body=dict(cluster.body) | {"properties": properties})
    assert schemas.errors(cluster) == []
    assert schemas.errors(wrong) != []

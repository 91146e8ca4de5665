"""Every evaluated resource against Microsoft's OpenAPI definition of its api-version."""

from __future__ import annotations

import dataclasses

import pytest

from millrace.azure.arm import Resource
from tests.infra.deployments import CASES, SCOPE, composed, deployed, one_each
from tests.infra.openapi import Verdict, verdicts
from tests.infra.spec_gaps import without_gaps
from tests.infra.specs import specs_folder

# Types whose definitions the folder lacks, and where they would lie; CONTRIBUTING.md names them. With them there, they
# are checked.
NO_DEFINITION = {
    "Microsoft.Authorization/roleAssignments": "authorization/",
    "Microsoft.Insights/diagnosticSettings": "monitor/",
    "Microsoft.KeyVault/vaults": "keyvault/",
    "Microsoft.KeyVault/vaults/secrets": "keyvault/",
    "Microsoft.ManagedIdentity/userAssignedIdentities": "msi/",
    "Microsoft.Network/privateDnsZones": "privatedns/",
    "Microsoft.Network/privateDnsZones/A": "privatedns/",
    "Microsoft.Network/privateDnsZones/virtualNetworkLinks": "privatedns/",
    "Microsoft.OperationalInsights/workspaces": "operationalinsights/",
}


def whole_deployment() -> Resource:
    """What Airflow would send: the composed template with its parameters, to the subscription."""
    parameters = {name: {"value": value} for name, value in CASES[0].parameters().items()}
    properties = {"mode": "Incremental", "template": composed(), "parameters": parameters}
    kind = "Microsoft.Resources/deployments"
    body = {"location": SCOPE.location, "properties": properties}
    return Resource(f"{SCOPE.id}/providers/{kind}/provision", kind, "provision", "2024-03-01", body, ())


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> list[Verdict]:
    resources = [*one_each(), *deployed(CASES[0]).resources, whole_deployment()]
    cluster = next(one for one in resources if one.type == "Microsoft.HDInsight/clusters")
    properties = dict(cluster.body["properties"]) | {"minimalTlsVersion": "1.2"}
    mistaken = dataclasses.replace(cluster, body=dict(cluster.body) | {"properties": properties})
    specs = without_gaps(specs_folder("rest-2024-07-12"), tmp_path_factory.mktemp("openapi"))
    return verdicts([*resources, mistaken], specs)


def test_every_resource_is_a_request_that_azure_accepts(judged: list[Verdict]) -> None:
    assert {verdict.resource.id: verdict.errors for verdict in judged[:-1] if verdict.errors} == {}
    checked = {verdict.resource.type for verdict in judged[:-1] if verdict.operation}
    assert len(checked) >= 21


def test_types_without_a_definition_are_known(judged: list[Verdict]) -> None:
    lacking = specs_folder("rest-2024-07-12") / "specification"
    known = {kind for kind, folder in NO_DEFINITION.items() if not (lacking / folder).is_dir()}
    assert {verdict.resource.type for verdict in judged if not verdict.operation} == known
    types = {verdict.resource.type for verdict in judged}
    assert (len(types), types >= set(NO_DEFINITION)) == (30, True), "29 in the templates, and the deployment itself"


def test_a_mistake_in_a_resource_is_found(judged: list[Verdict]) -> None:
    assert "minimalTlsVersion" in str(judged[-1].errors)

"""checkov, which looks for what is unsafe, over the evaluated templates: clean, but for what is explained here."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from millrace.home import PROJECT_ROOT
from tests.infra.deployments import CASES, resources

pytestmark = pytest.mark.long

_CHECKOV = PROJECT_ROOT / ".venv-checkov" / "bin" / "checkov"
_TEMPLATE = "https://schema.management.azure.com/schemas/2019-04-01/deploymentTemplate.json#"


class Explained(NamedTuple):
    """Why a check may fail on resources of a type; `size`: in environments of that size alone."""

    of: str
    why: str
    size: str = ""


_VAULT, _STORAGE = "Microsoft.KeyVault/vaults", "Microsoft.Storage/storageAccounts"
_WORKSPACE, _SYNAPSE = "Microsoft.Databricks/workspaces", "Microsoft.Synapse/workspaces"
_PURGED = "a dev vault can be purged, so that its name is free after a teardown; prod sets purgeProtection"
EXPLAINED = {
    "CKV_AZURE_42": Explained(_VAULT, _PURGED, "dev"),
    "CKV_AZURE_110": Explained(_VAULT, _PURGED, "dev"),
    "CKV_AZURE_59": Explained(
        _STORAGE,
        "publicNetworkAccess stays on behind a firewall that denies all but named subnets and addresses: "
        "a private endpoint for each network would cost more than a dev environment and HDInsight needs none",
    ),
    "CKV_AZURE_206": Explained(
        _STORAGE, "dev keeps one copy, in one region (Standard_LRS); prod sets Standard_GRS", "dev"
    ),
    "CKV_AZURE_158": Explained(
        _WORKSPACE,
        "people and Airflow reach the Databricks workspace over the internet, with Entra tokens; "
        "clusters have no public address (enableNoPublicIp)",
    ),
    "CKV_AZURE_240": Explained(
        _SYNAPSE, "encrypted with Microsoft's keys; keys of one's own, and their rotation, are left out"
    ),
    "CKV2_AZURE_48": Explained(
        _WORKSPACE, "encrypted with Microsoft's keys: the workspace's own storage, which holds no data of ours"
    ),
    "CKV_AZURE_58": Explained(
        _SYNAPSE, "the check is the wrong way round: it refuses managedVirtualNetwork 'default', which turns it on"
    ),
    "CKV_AZURE_157": Explained(
        _SYNAPSE,
        "the check reads dataExfiltrationProtectionEnabled, which ARM does not have; "
        "managedVirtualNetworkSettings.preventDataExfiltration is set",
    ),
    "CKV2_AZURE_53": Explained(
        _SYNAPSE,
        "the check asks for extendedAuditingPolicies, a type that ARM does not have; extendedAuditingSettings is there",
    ),
}


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    if not _CHECKOV.exists():
        pytest.skip("checkov is not installed; run `make .venv-checkov/.setup`")
    folder: Path = tmp_path_factory.mktemp("templates")
    for case in CASES:
        every = [{"type": r.type, "name": r.name, "apiVersion": r.api_version, **r.body} for r in resources(case)]
        template = {"$schema": _TEMPLATE, "contentVersion": "1.0.0.0", "resources": every}
        (folder / f"{case}.json").write_text(json.dumps(template), encoding="utf-8")
    command = [str(_CHECKOV), "--directory", str(folder), "--framework", "arm", "--output", "json", "--skip-download"]
    done = subprocess.run(command, text=True, capture_output=True, check=False)
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_checkov_reads_every_template_and_passes_most_checks(report: dict[str, Any]) -> None:
    assert report["summary"]["parsing_errors"] == 0
    assert report["summary"]["passed"] > 100


def test_what_checkov_finds_is_explained(report: dict[str, Any]) -> None:
    failed = report["results"]["failed_checks"]
    told = {
        (each["check_id"], each["check_name"], each["resource"], each["file_path"])
        for each in failed
        if not _is_explained(each)
    }
    assert sorted(told) == []


def test_every_explanation_is_needed(report: dict[str, Any]) -> None:
    assert set(EXPLAINED) - {each["check_id"] for each in report["results"]["failed_checks"]} == set()


def _is_explained(failed: dict[str, Any]) -> bool:
    explained = EXPLAINED.get(failed["check_id"])
    if explained is None or explained.size not in ["", *Path(failed["file_path"]).stem.split("-")]:
        return False
    return str(failed["resource"]).startswith(f"{explained.of}.")

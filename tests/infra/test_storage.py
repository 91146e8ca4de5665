"""The lake's account: what grows cold, who may read it."""

from __future__ import annotations

import json
import uuid
from typing import Any

from millrace.azure.arm import Resource, evaluate
from tests.infra.deployments import SCOPE, A, B, Case, composed, of_type, resources


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


def test_production_keeps_copies_in_another_region_and_dev_pays_for_none() -> None:
    skus = [of_type(case, "Microsoft.Storage/storageAccounts")[0].body["sku"]["name"] for case in (A, B)]
    assert skus == ["Standard_LRS", "Standard_GRS"]


def test_what_is_deleted_by_mistake_can_be_brought_back() -> None:
    """Blobs and containers of the account, and the vault with its secrets: for as long as the parameters say, and in
    production whoever asks to purge the vault."""
    changed = evaluate(composed(), A.parameters() | {"softDeleteDays": 9}, SCOPE)
    for found, days in ((resources(A), 7), (list(changed.everything()), 9)):
        (blobs,) = (one for one in found if one.type == "Microsoft.Storage/storageAccounts/blobServices")
        kept = {"enabled": True, "days": days}
        assert blobs.body["properties"]["deleteRetentionPolicy"] == kept
        assert blobs.body["properties"]["containerDeleteRetentionPolicy"] == kept
        (vault,) = (one for one in found if one.type == "Microsoft.KeyVault/vaults")
        assert vault.body["properties"]["enableSoftDelete"] is True
        assert vault.body["properties"]["softDeleteRetentionInDays"] == 7
    (vault,) = of_type(B, "Microsoft.KeyVault/vaults")
    assert vault.body["properties"]["softDeleteRetentionInDays"] == 90
    assert vault.body["properties"]["enablePurgeProtection"] is True


def test_identities_get_roles_on_the_account_and_nothing_wider() -> None:
    owner, contributor = "b7e6dc6d-f1e8-4753-8033-0f276bb0955b", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"  # of blob data
    officer = "b86a8fe4-44ce-4948-aee5-eccb2c155cd7"  # of the vault's secrets
    airflow = B.parameters()["operatorPrincipalId"]
    granted = {
        (identity_of(one, airflow), one.id.partition("/providers/")[2].split("/")[1], role_of(one))
        for one in assignments(B)
    }
    assert granted == {
        ("mr-prod-clusters", "storageAccounts", owner),
        ("mr-prod-databricks", "storageAccounts", contributor),
        ("Synapse", "storageAccounts", contributor),
        ("Airflow", "storageAccounts", contributor),
        ("Airflow", "vaults", officer),
    }


def test_another_operator_gets_role_assignments_of_its_own() -> None:
    """Azure does not let one of a name change its principal; those of all others stay as they are."""
    other = str(uuid.UUID(int=7))
    changed = evaluate(composed(), B.parameters() | {"operatorPrincipalId": other}, SCOPE)
    now = [one for one in changed.everything() if one.type == "Microsoft.Authorization/roleAssignments"]
    before, airflow = assignments(B), B.parameters()["operatorPrincipalId"]
    own, others = names_of(before, airflow)
    new, same = names_of(now, other)
    assert (len(own), len(new)) == (2, 2)
    assert own.isdisjoint(new)
    assert others == same


def names_of(found: list[Resource], principal: str) -> tuple[set[str], set[str]]:
    """The ids of the principal's assignments, and those of all others."""
    own = {one.id for one in found if one.body["properties"]["principalId"] == principal}
    return own, {one.id for one in found} - own


def identity_of(assignment: Resource, airflow: str) -> str:
    """Whose principal it is: a managed identity's name, the Synapse workspace's own, or what Airflow logs in as."""
    principal = str(assignment.body["properties"]["principalId"])
    if principal == airflow:
        return "Airflow"
    return "Synapse" if "Microsoft.Synapse/workspaces" in principal else principal.rpartition("/")[2].rstrip(">")


def assignments(case: Case) -> list[Resource]:
    return of_type(case, "Microsoft.Authorization/roleAssignments")


def role_of(assignment: Resource) -> str:
    return str(assignment.body["properties"]["roleDefinitionId"]).rpartition("/")[2]

"""Deleting what an environment has on Azure, and nothing else."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from millrace.azure.asking import RefusedError
from millrace.azure.environments import TAG, Environments
from millrace.azure.hook import ResourceManagerHook
from millrace.operators.azure_delete import DeleteEnvironmentOperator
from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import refusal
from tests.plugins.azure.deploy.tries import A, B, finished, try_once


def deleting(
    size: str = "dev", confirmation: str = "delete everything", prefix: str = "mr"
) -> DeleteEnvironmentOperator:
    poll = timedelta(milliseconds=10)
    return DeleteEnvironmentOperator(task_id="delete", prefix=prefix, size=size, confirmation=confirmation, poll=poll)


def left(azure: Azure) -> set[str]:
    """The groups that are no other resource's."""
    return {one.resource.name for one in azure.manager.resources.groups() if "managedBy" not in one.resource.body}


def test_an_environment_is_deleted_and_another_stays(azure: Azure) -> None:
    finished(A)
    finished(B)
    assert left(azure) == {"mr-dev", "mr-prod"}
    try_once(deleting("dev"))
    assert left(azure) == {"mr-prod"}
    assert not [one for one in azure.manager.resources.known.values() if "/resourceGroups/mr-dev" in one.resource.id]


def test_of_two_projects_in_one_subscription_only_one_is_deleted(azure: Azure) -> None:
    finished(A)
    finished(A, prefix="other")
    assert left(azure) == {"mr-dev", "other-dev"}
    try_once(deleting())
    assert left(azure) == {"other-dev"}
    try_once(deleting(prefix="another"))
    assert left(azure) == {"other-dev"}


def test_the_group_that_databricks_manages_goes_with_its_workspace(azure: Azure) -> None:
    finished(B)
    tagged = {one.resource.name for one in azure.manager.resources.groups() if one.tags == {TAG: "mr-prod"}}
    assert tagged == {"mr-prod", "mr-prod-databricks"}
    try_once(deleting("prod"))
    assert azure.manager.resources.groups() == []
    assert azure.asked("DELETE", "mr-prod-databricks") == 0


def test_nobody_may_delete_the_group_that_databricks_manages(azure: Azure) -> None:
    finished(B)
    with pytest.raises(RefusedError, match="deleting resource group mr-prod-databricks: Azure answers 403: DenyAssign"):
        Environments(ResourceManagerHook()).begin_delete_group("mr-prod-databricks")


def test_a_vault_of_another_project_is_not_purged(azure: Azure) -> None:
    finished(A)
    finished(A, prefix="other")
    azure.manager.resources.delete(f"/subscriptions/{azure.subscription}/resourceGroups/other-dev")
    try_once(deleting())
    assert [name[:10] for name in azure.manager.resources.deleted_vaults] == ["other-dev-"]


def test_a_vault_that_the_first_page_of_deleted_ones_does_not_tell_is_purged_too(azure: Azure) -> None:
    finished(A, prefix="first")
    azure.manager.resources.delete(f"/subscriptions/{azure.subscription}/resourceGroups/first-dev")
    finished(A)
    try_once(deleting())
    pages = [one.answer.body for one in azure.said if one.request.path.endswith("/deletedVaults")]
    (told,) = pages[0]["value"]
    assert told["name"].startswith("first-dev-")
    assert "nextLink" in pages[0]
    assert [name[:10] for name in azure.manager.resources.deleted_vaults] == ["first-dev-"]


def test_without_a_prefix_nothing_is_deleted(azure: Azure) -> None:
    finished(A)
    with pytest.raises(AirflowFailException, match=r"prefix is '', and size 'dev'; .* give them as"):
        try_once(deleting(prefix=""))
    assert azure.asked("DELETE", "") == 0


def test_nothing_is_deleted_without_the_confirmation(azure: Azure) -> None:
    finished(A)
    with pytest.raises(AirflowFailException, match="needs 'delete everything'"):
        deleting(confirmation="delete").execute({})
    assert azure.asked("DELETE", "") == 0


def test_deleting_twice_and_deleting_nothing_change_nothing(azure: Azure) -> None:
    try_once(deleting())
    assert azure.asked("DELETE", "") == 0
    finished(A)
    with pytest.raises(TaskDeferred):
        deleting().execute({})
    with pytest.raises(TaskDeferred):
        deleting().execute({})
    assert azure.asked("DELETE", "/mr-dev") == 1, "a group that is being deleted is left to it"


def test_what_was_deleted_can_be_provisioned_again(azure: Azure) -> None:
    outputs = finished(A)
    try_once(deleting())
    assert azure.manager.resources.deleted_vaults == {}, "the vault's name is free"
    azure.manager.created.clear()
    assert finished(A) == outputs
    assert azure.manager.created


def test_a_vault_that_is_protected_keeps_its_name_and_the_log_says_what_to_do(
    azure: Azure, capfd: pytest.CaptureFixture[str]
) -> None:
    finished(B)
    try_once(deleting("prod"))
    assert len(azure.manager.resources.deleted_vaults) == 1
    assert "az keyvault recover --name mr-prod-" in capfd.readouterr().out
    with pytest.raises(AirflowFailException, match="already exists in deleted state"):
        finished(B)


def test_a_group_that_is_locked_is_told_and_not_tried_for_ever(azure: Azure) -> None:
    finished(A)
    text = "The scope cannot perform delete operation because following scope(s) are locked."
    azure.faults.answer("DELETE", "/resourceGroups/mr-dev$", refusal(409, "ScopeLocked", text))
    with pytest.raises(AirflowFailException, match="ScopeLocked: The scope cannot perform delete"):
        try_once(deleting())


def test_a_deletion_that_azure_gives_up_is_begun_again_by_the_next_try(azure: Azure) -> None:
    finished(A)
    with pytest.raises(TaskDeferred):
        deleting().execute({})
    for stored in azure.manager.resources.groups():
        stored.state = "Succeeded"
    operator = deleting()
    event = {"state": "Left", "groups": ["mr-dev"]}
    with pytest.raises(AirflowException, match="the next try deletes what is left"):
        operator.resume({}, event)
    try_once(operator)
    assert left(azure) == set()

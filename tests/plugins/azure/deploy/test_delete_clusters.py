"""Deleting clusters and keeping the data: how one stops to pay."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from millrace.operators.azure_delete_clusters import DeleteClustersOperator
from tests.azure_control_plane.cloud import Azure
from tests.infra.deployments import CLUSTERS
from tests.plugins.azure.deploy.test_batch_cluster import clusters
from tests.plugins.azure.deploy.tries import A, B, finished, try_once


def deleting(kinds: str, confirmation: str = "", prefix: str = "mr") -> DeleteClustersOperator:
    told = {"kinds": kinds, "confirmation": confirmation, "prefix": prefix, "size": "dev"}
    return DeleteClustersOperator(task_id="delete", poll=timedelta(milliseconds=10), **told)


def test_the_clusters_that_hold_nothing_are_deleted_and_everything_else_stays(azure: Azure) -> None:
    finished(A)
    before = {one.resource.id for one in azure.manager.resources.others()}
    (name,) = try_once(deleting("spark"))
    assert name.startswith("spark-mr-dev-")
    after = {one.resource.id for one in azure.manager.resources.others()}
    assert {one.rpartition("/")[2] for one in before - after} == {name}
    assert try_once(deleting("spark")) == []
    assert azure.asked("DELETE", "") == 1

    azure.manager.created.clear()
    finished(A)
    assert clusters(azure) == {"kafka-": "Succeeded", "spark-": "Succeeded"}, "provision makes it again"


def test_kafka_goes_only_with_the_confirmation_and_another_environment_stays(azure: Azure) -> None:
    finished(A)
    finished(B)
    with pytest.raises(AirflowFailException, match="records that are not archived yet needs 'delete everything'"):
        try_once(deleting("all", "yes"))
    assert azure.asked("DELETE", "") == 0
    gone = try_once(deleting("all", "delete everything"))
    assert [name.partition("-")[0] for name in gone] == ["kafka", "spark"]
    assert all("-prod-" in one.resource.name for one in azure.manager.resources.others() if "kafka-" in one.resource.id)
    groups = {one.resource.name for one in azure.manager.resources.groups()}
    assert groups == {"mr-dev", "mr-prod", "mr-prod-databricks"}


def test_clusters_of_another_project_in_the_subscription_stay(azure: Azure) -> None:
    finished(A)
    finished(A, prefix="other")
    gone = try_once(deleting("all", "delete everything"))
    assert [name.rpartition("-")[0] for name in gone] == ["kafka-mr-dev", "spark-mr-dev"]
    every = (one.resource for one in azure.manager.resources.others() if one.resource.type == CLUSTERS)
    assert sorted(one.name.rpartition("-")[0] for one in every) == ["kafka-other-dev", "spark-other-dev"]
    with pytest.raises(AirflowFailException, match="prefix is ''"):
        try_once(deleting("spark", prefix=""))


def test_a_deletion_that_was_cut_off_is_gone_on_with_and_one_that_is_given_up_is_told(azure: Azure) -> None:
    finished(A)
    with pytest.raises(TaskDeferred):
        deleting("spark").execute({})
    assert len(try_once(deleting("spark"))) == 1
    assert azure.asked("DELETE", "") == 1
    with pytest.raises(AirflowException, match="spark-x are not being deleted any longer"):
        deleting("spark").resume({}, {"state": "Left", "clusters": ["spark-x"]})

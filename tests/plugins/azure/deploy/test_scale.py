"""Workers of an HDInsight cluster, more and fewer."""

from __future__ import annotations

from datetime import timedelta

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from millrace.operators.azure_scale import ScaleWorkersOperator
from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.tries import finished, try_once


def scaling(azure: Azure, workers: int, name: str = "kafka-") -> ScaleWorkersOperator:
    every = (one.resource.id for one in azure.manager.resources.others() if one.resource.name.startswith(name))
    poll = timedelta(milliseconds=10)
    return ScaleWorkersOperator(task_id="scale", cluster_id=next(every), workers=workers, poll=poll)


def test_a_cluster_gets_the_workers_asked_for_and_a_second_run_asks_for_nothing(azure: Azure) -> None:
    finished()
    endpoints = try_once(scaling(azure, 5))
    assert endpoints["HTTPS"].startswith("https://kafka-mr-dev-")
    assert endpoints["HTTPS"].endswith(".azurehdinsight.net:443")
    assert try_once(scaling(azure, 5)) == endpoints
    assert azure.asked("POST", "/roles/workernode/resize") == 1


def test_a_try_that_was_cut_off_is_followed_by_one_that_waits_for_what_is_under_way(azure: Azure) -> None:
    finished()
    with pytest.raises(TaskDeferred):
        scaling(azure, 5).execute({})
    try_once(scaling(azure, 5))
    assert azure.asked("POST", "/roles/workernode/resize") == 1


def test_a_cluster_that_is_not_there_is_told(azure: Azure) -> None:
    finished()
    operator = scaling(azure, 5)
    azure.manager.resources.delete(operator.cluster_id)
    with pytest.raises(AirflowFailException, match="there is no cluster"):
        try_once(operator)

"""Workers of an HDInsight cluster, more and fewer."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowFailException, TaskDeferred

from jobs.errors import UsageError
from millrace.azure.clusters import Clusters
from millrace.azure.hook import ResourceManagerHook
from millrace.operators.azure_scale import ScaleWorkersOperator
from millrace.tasks.azure_scaling import plan_scaling
from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.tries import A, finished, try_once

POLL = timedelta(milliseconds=10)
FORM = {"prefix": "mr", "size": "dev", "cluster": "kafka", "workers": 5}


def plan(**form: object) -> dict[str, Any]:
    return plan_scaling({**FORM, **form}, Clusters(ResourceManagerHook()))


def scaling(azure: Azure, workers: int, name: str = "kafka-") -> ScaleWorkersOperator:
    every = (one.resource.id for one in azure.manager.resources.others() if one.resource.name.startswith(name))
    return ScaleWorkersOperator(task_id="scale", cluster_id=next(every), workers=workers, poll=POLL)


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


def test_a_plan_tells_what_the_workers_cost_before_and_after(azure: Azure) -> None:
    finished()
    planned = plan()
    assert planned["is_change"]
    assert planned["text"].splitlines()[0].endswith(": 3 workers now, 5 then")
    # By hand: a worker Standard_E4_v3 costs 0.31 an hour on HDInsight, and a month has 730.
    assert "workernode: 3 x Standard_E4_v3: 0.93 USD an hour, 679 USD a month" in planned["text"]
    assert "workernode: 5 x Standard_E4_v3: 1.55 USD an hour, 1,132 USD a month" in planned["text"]
    assert "about" not in planned["text"], "one of both is paid: they have no sum"
    try_once(ScaleWorkersOperator(task_id="scale", cluster_id=planned["cluster_id"], workers="5", poll=POLL))
    assert not plan()["is_change"]


def test_the_cluster_is_the_one_of_the_environment_whatever_else_is_in_the_subscription(azure: Azure) -> None:
    finished(A, prefix="other")
    with pytest.raises(UsageError, match="environment mr-dev has the clusters: none"):
        plan()
    finished()
    assert "/kafka-mr-dev-" in plan()["cluster_id"]
    with pytest.raises(UsageError, match="cluster 'query': environment mr-dev has the clusters: kafka-mr-dev-"):
        plan(cluster="query")
    with pytest.raises(UsageError, match="prefix is ''"):
        plan(prefix=None)


def test_no_broker_is_taken_away(azure: Azure) -> None:
    finished()
    with pytest.raises(UsageError, match=r"workers is 2, and it has 3; .* ask for 3 or more"):
        plan(workers=2)


def test_workers_that_follow_a_schedule_are_not_overruled_and_others_may_become_fewer(azure: Azure) -> None:
    finished()
    with pytest.raises(UsageError, match=r"follow a schedule.* --resource-group mr-dev --cluster-name spark-mr-dev-"):
        plan(cluster="spark", workers=2)
    finished(A, prefix="plain", sparkSchedule=[], sparkWorkerCount=4)
    assert "4 workers now, 1 then" in plan(prefix="plain", cluster="spark", workers=1)["text"]

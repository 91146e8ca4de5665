"""Deploying to the tests' Azure, by unmodified clients: once, twice, interrupted, refused."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from millrace.home import PROJECT_ROOT
from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import error, refusal
from tests.azure_control_plane.faults import CLOSED
from tests.azure_control_plane.resources import Stored
from tests.azure_control_plane.runs import ENDED
from tests.infra.deployments import PASSWORD, resources
from tests.plugins.azure.deploy.tries import A, B, deploying, finished, previewing, try_once, waited

CLUSTERS = "Microsoft.HDInsight/clusters"
DEPLOYMENTS = "/providers/Microsoft.Resources/deployments/"
QUOTA = error("BadRequest", "The requested cores exceed the quota: requested 20, left 12.")


def begun(azure: Azure) -> int:
    return azure.asked("PUT", DEPLOYMENTS)


def created(azure: Azure) -> list[str]:
    return [one.type for one in azure.manager.created]


def the_cluster(azure: Azure, kind: str) -> Stored:
    return next(one for one in azure.manager.resources.others() if one.resource.name.startswith(f"{kind}-"))


def left_while_kafka_is_created(azure: Azure) -> Callable[[], None]:
    """Deploys, until Kafka reads InProgress; nobody looks any longer, as after its run was marked failed. Azure goes on
    to the end when what is returned is called."""
    azure.faults.hold("clusters/kafka-")
    with pytest.raises(TaskDeferred):
        deploying().execute({})
    (run,) = azure.manager.runs.values()
    while not any(one.resource.name.startswith("kafka-") for one in azure.manager.resources.others()):
        run.advance()
    assert the_cluster(azure, "kafka").state == "InProgress"

    def go_on() -> None:
        azure.faults.release()
        while run.state not in ENDED:
            run.advance()

    return go_on


@pytest.mark.parametrize("case", [A, B], ids=str)
def test_everything_is_created_and_a_second_run_changes_nothing(azure: Azure, case: Any) -> None:
    outputs = finished(case)
    assert sorted(created(azure)) == sorted(one.type for one in resources(case))
    assert outputs["resourceGroup"] == f"mr-{case.size}"
    assert outputs["kafkaGateway"].startswith(f"https://kafka-mr-{case.size}-")

    azure.manager.created.clear()
    assert finished(case) == outputs
    assert created(azure) == []
    assert begun(azure) == 1


def test_a_changed_parameter_is_deployed_and_clusters_are_left_alone(azure: Azure) -> None:
    finished()
    azure.manager.created.clear()
    finished(softDeleteDays=9)
    assert "Microsoft.Storage/storageAccounts" in created(azure)
    assert CLUSTERS not in created(azure)


def test_a_try_that_lost_its_worker_is_followed_by_one_that_adopts_the_deployment(azure: Azure) -> None:
    with pytest.raises(TaskDeferred):
        deploying().execute({})
    assert finished()["resourceGroup"] == "mr-dev"
    assert begun(azure) == 1


def test_an_answer_that_is_lost_on_its_way_begins_no_second_deployment(azure: Azure) -> None:
    azure.faults.answer("PUT", DEPLOYMENTS, CLOSED, done=True)
    assert finished()["resourceGroup"] == "mr-dev"
    assert azure.faults.happened == 1
    assert len(azure.manager.created) == len(resources(A))


def test_the_cause_of_a_failed_nested_deployment_is_told_and_the_next_run_finishes(
    azure: Azure, capfd: pytest.CaptureFixture[str]
) -> None:
    azure.faults.fail("clusters/spark-", QUOTA)
    with pytest.raises(AirflowFailException, match="requested 20, left 12"):
        finished()
    text = capfd.readouterr().out
    assert "failed: Microsoft.HDInsight/clusters spark-mr-dev-" in text
    assert "(module spark): BadRequest: The requested cores exceed the quota" in text
    assert "At least one resource deployment operation failed" not in text
    kafka = [one for one in azure.manager.created if one.name.startswith("kafka-")]

    assert finished()["sparkGateway"].startswith("https://spark-mr-dev-")
    assert azure.asked("DELETE", "/clusters/spark-mr-dev-") == 1
    assert azure.asked("DELETE", "") == 1, "the failed cluster alone was deleted"
    assert [one for one in azure.manager.created if one.name.startswith("kafka-")] == kafka


@pytest.mark.parametrize("state", ["Failed", "Canceled"])
def test_a_cluster_that_broke_after_it_was_created_is_not_deleted(azure: Azure, state: str) -> None:
    finished()
    the_cluster(azure, "kafka").state = state
    with pytest.raises(AirflowFailException, match=f"reads {state}.*delete it if it holds nothing that you need"):
        finished(softDeleteDays=9)
    assert azure.asked("DELETE", "") == 0


def test_a_cluster_that_another_deployment_still_creates_is_awaited_and_left_alone(azure: Azure) -> None:
    go_on = left_while_kafka_is_created(azure)
    azure.faults.when("GET", "/clusters/kafka-", go_on, after=5)
    assert finished(softDeleteDays=9)["kafkaGateway"].startswith("https://kafka-mr-dev-")
    assert azure.faults.happened == 1, "it ended while it was awaited"
    assert the_cluster(azure, "kafka").state == "Succeeded"
    assert sorted(one.name[:6] for one in azure.manager.created if one.type == CLUSTERS) == ["kafka-", "spark-"]


def test_a_cluster_that_another_deployment_fails_to_create_is_told(azure: Azure) -> None:
    go_on = left_while_kafka_is_created(azure)
    azure.faults.fail("clusters/kafka-", QUOTA)
    azure.faults.when("GET", "/clusters/kafka-", go_on, after=5)
    with pytest.raises(AirflowFailException, match=r"cluster kafka-mr-dev-\w+ reads Failed"):
        finished(softDeleteDays=9)
    assert begun(azure) == 1


def test_a_cluster_that_is_being_deleted_is_created_once_it_is_gone(azure: Azure) -> None:
    """As after a try that was killed while it deleted what could not be created: it is not taken for standing."""
    azure.faults.fail("clusters/spark-", QUOTA)
    with pytest.raises(AirflowFailException, match="requested 20, left 12"):
        finished()
    spark = the_cluster(azure, "spark")
    spark.state = "Deleting"
    azure.manager.created.clear()
    gone = threading.Timer(0.5, azure.manager.resources.delete, [spark.resource.id])
    gone.start()
    assert finished()["sparkGateway"].startswith("https://spark-mr-dev-")
    gone.join()
    assert azure.asked("DELETE", "") == 0
    assert [one.name for one in azure.manager.created if one.type == CLUSTERS] == [spark.resource.name]


def test_a_failure_that_may_pass_is_tried_again_by_airflow(azure: Azure) -> None:
    azure.faults.fail("storageAccounts/", error("ServiceUnavailable", "Try again."))
    with pytest.raises(AirflowException, match="ServiceUnavailable") as caught:
        finished()
    assert not isinstance(caught.value, AirflowFailException)
    assert finished()["resourceGroup"] == "mr-dev"


def test_a_template_that_azure_refuses_fails_at_once_with_the_reason(azure: Azure) -> None:
    with pytest.raises(AirflowFailException, match="prefix"):
        finished(prefix="much-too-long-a-prefix")
    assert begun(azure) == 0


def test_progress_is_told_per_resource_and_module(azure: Azure, capfd: pytest.CaptureFixture[str]) -> None:
    finished()
    told = [line for line in capfd.readouterr().out.splitlines() if "HDInsight/clusters kafka-mr-dev-" in line]
    states = [line.partition("] ")[2].partition(":")[0] for line in told]
    assert states == ["running", "succeeded"], "a line per change, not per look"
    assert all("(module kafka)" in line for line in told)


def test_a_deployment_that_azure_has_forgotten_is_lost_and_deployed_again(azure: Azure) -> None:
    with pytest.raises(TaskDeferred) as deferred:
        deploying().execute({})
    azure.manager.runs.clear()
    event = waited(deferred.value.trigger)
    assert event["state"] == "Lost"
    with pytest.raises(AirflowException, match="the next try deploys again"):
        deploying().resume({}, dict(event))
    assert finished()["resourceGroup"] == "mr-dev"


def test_no_secret_is_in_what_airflow_keeps_or_shows(azure: Azure, capfd: pytest.CaptureFixture[str]) -> None:
    shown = try_once(previewing())
    with pytest.raises(TaskDeferred) as deferred:
        deploying().execute({})
    outputs = try_once(deploying())
    said = capfd.readouterr()
    assert "going on with it" in said.out
    kept = f"{shown} {deferred.value.trigger.serialize()} {outputs} {said.out} {said.err}"
    for secret in (PASSWORD, azure.login.secret, *azure.login.issued):
        assert secret not in kept
    assert PASSWORD not in " ".join(one.request.path for one in azure.said)


def test_a_secret_that_azure_repeats_is_masked_in_the_log(azure: Azure) -> None:
    told = refusal(400, "InvalidTemplate", f"The value '{PASSWORD}' of clusterPassword is not strong enough.")
    azure.faults.answer("POST", "/validate", told)
    log = subprocess.run(
        [sys.executable, "-m", "tests.plugins.azure.deploy.logged"],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT_ROOT), str(PROJECT_ROOT / "plugins")])},
        cwd=PROJECT_ROOT, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "The value '***' of clusterPassword is not strong enough." in log
    assert PASSWORD not in log


def test_a_secret_among_the_parameters_is_refused(azure: Azure) -> None:
    with pytest.raises(AirflowFailException, match="clusterPassword are secrets"):
        finished(clusterPassword=PASSWORD)
    assert azure.said == []

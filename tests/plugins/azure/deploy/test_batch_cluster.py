"""The Spark cluster for batch runs: made, used by several, adopted, and the only one that is deleted."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowException, AirflowFailException, TaskDeferred

from jobs.errors import MillraceError
from millrace.azure.arm import Resource
from millrace.azure.batch_cluster import Users, batch_cluster
from millrace.azure.clusters import Clusters
from millrace.azure.hook import ResourceManagerHook
from millrace.environment import Environment, batch_environment, load_environment
from millrace.operators.azure_batch_cluster import CreateBatchClusterOperator, DeleteBatchClusterOperator
from millrace.platforms.hdinsight_settings import HdinsightSettings
from tests.azure_control_plane.cloud import Azure
from tests.azure_control_plane.exchange import Answer, error
from tests.environment_files import HDINSIGHT
from tests.infra.deployments import PASSWORD
from tests.plugins.azure.deploy.tries import A, finished, waited

QUICKLY = timedelta(milliseconds=10)
REFUSED = Answer(403, error("UserNotAuthorized", "The client has no permission to write clusters."))
BUSY = Answer(409, error("AnotherOperationInProgress", "Another operation is in progress."))
QUOTA = error("BadRequest", "The requested cores exceed the quota: requested 20, left 12.")
FILE = (
    HDINSIGHT
    + """[kafka]
bootstrap = "wn0-kafka:9092"
[hdinsight]
cluster = "spark-mr-dev-abcdef"
connection = "azure_gateway"
container = "spark"
path = "millrace"
[hdinsight.batch]
cluster = "{cluster}"
prefix = "mr"
size = "dev"
region = "northeurope"
ssh_public_key = "ssh-ed25519 AAAA"
workers = 4
"""
)


@dataclass
class MemoryStore:
    """As `JobStore`, in memory."""

    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)

    @contextmanager
    def exclusive(self, name: str) -> Iterator[None]:
        assert self.lock.acquire(timeout=5), name
        try:
            yield
        finally:
            self.lock.release()

    def read_json(self, path: str) -> dict[str, Any]:
        return self.files.get(path, {})

    def write_json(self, path: str, content: dict[str, Any]) -> None:
        self.files[path] = content

    def delete(self, path: str) -> None:
        self.files.pop(path, None)

    def names(self, folder: str) -> list[str]:
        return [path.removeprefix(f"{folder}/").removesuffix(".json") for path in self.files]


@dataclass(frozen=True)
class Try:
    run_id: str
    dag_id: str = "stock_high_low__batch"
    map_index: int = -1


@dataclass
class Night:
    """Tasks of DAG runs that share one place."""

    place: Environment
    store: MemoryStore
    now: datetime = field(default_factory=lambda: datetime.now(UTC))

    def connect(self) -> tuple[Resource, Clusters, Users]:
        hook = ResourceManagerHook()
        return batch_cluster(self.place, hook), Clusters(hook), Users(self.store, now=self.now)

    def create(self, run: str = "a") -> Any:
        return self.finish(CreateBatchClusterOperator, run)

    def delete(self, run: str = "a") -> Any:
        return self.finish(DeleteBatchClusterOperator, run)

    def begin(self, kind: type[BaseOperator], run: str = "a") -> tuple[BaseOperator, TaskDeferred]:
        """A try that defers."""
        task = self.task(kind)
        with pytest.raises(TaskDeferred) as deferred:
            task.execute({"ti": Try(run)})  # type: ignore[typeddict-item]
        return task, deferred.value

    def finish(self, kind: type[BaseOperator], run: str) -> Any:
        """A try to its end, through as many deferrals as it takes."""
        task, context = self.task(kind), {"ti": Try(run)}
        try:
            return task.execute(context)  # type: ignore[arg-type]
        except TaskDeferred as deferred:
            return self.resumed(task, deferred, run)

    def resumed(self, task: BaseOperator, deferred: TaskDeferred, run: str = "a") -> Any:
        try:
            return task.resume({"ti": Try(run)}, waited(deferred.trigger))  # type: ignore[attr-defined]
        except TaskDeferred as again:
            return self.resumed(task, again, run)

    def task(self, kind: type[BaseOperator]) -> BaseOperator:
        task = kind(task_id="cluster", environment="azure.batch", poll=QUICKLY)  # type: ignore[call-arg]
        task.connect = self.connect  # type: ignore[attr-defined]
        return task


def environment(folder: Path, cluster: str) -> Environment:
    (folder / "azure.toml").write_text(FILE.format(cluster=cluster))
    name = batch_environment("azure", folder=folder)
    assert name == "azure.batch"
    return load_environment(name, folder=folder)


@pytest.fixture
def night(azure: Azure, tmp_path: Path) -> Night:
    """In an environment that is deployed, with its Kafka and its Spark for streams."""
    name = finished(A)["batchCluster"]
    azure.manager.created.clear()
    return Night(environment(tmp_path, name), MemoryStore())


def clusters(azure: Azure) -> dict[str, str]:
    """The state of each, by the beginning of its name."""
    every = azure.manager.resources.others()
    return {one.resource.name[:6]: one.state for one in every if one.resource.type == "Microsoft.HDInsight/clusters"}


def puts(azure: Azure) -> int:
    return azure.asked("PUT", "/clusters/batch-")


def test_a_cluster_is_made_beside_the_others_and_it_alone_is_deleted(azure: Azure, night: Night) -> None:
    endpoints = night.create()
    assert endpoints["HTTPS"].startswith("https://batch-mr-dev-")
    assert clusters(azure) == {"kafka-": "Succeeded", "spark-": "Succeeded", "batch-": "Succeeded"}
    (made,) = azure.manager.created
    roles = {role["name"]: role for role in made.body["properties"]["computeProfile"]["roles"]}
    assert roles["workernode"]["targetInstanceCount"] == 4
    assert "autoscale" not in roles["workernode"]
    assert made.body["properties"]["storageProfile"]["storageaccounts"][0]["fileSystem"] == "batch"
    assert made.body["tags"] == {"millrace-environment": "mr-dev", "millrace-lifetime": "batch"}

    night.delete()
    assert clusters(azure) == {"kafka-": "Succeeded", "spark-": "Succeeded"}
    assert azure.asked("DELETE", "") == 1
    night.delete()
    assert azure.asked("DELETE", "") == 1, "deleting twice changes nothing"


def test_a_try_that_lost_its_worker_and_a_cluster_that_was_left_are_adopted(azure: Azure, night: Night) -> None:
    night.begin(CreateBatchClusterOperator)
    endpoints = night.create()
    assert night.create("the next night") == endpoints
    assert puts(azure) == 1


def test_the_last_of_the_runs_that_use_it_deletes_it(azure: Azure, night: Night) -> None:
    night.create("a")
    night.create("b")
    night.delete("a")
    assert clusters(azure)["batch-"] == "Succeeded"
    night.delete("b")
    assert "batch-" not in clusters(azure)


def test_a_run_that_never_said_that_it_is_done_does_not_keep_the_cluster_for_ever(azure: Azure, night: Night) -> None:
    night.create("its Airflow is gone")
    tomorrow = replace(night, now=night.now + timedelta(hours=24))
    tomorrow.create("b")
    tomorrow.delete("b")
    assert "batch-" not in clusters(azure)


def test_a_run_that_comes_while_it_is_being_deleted_gets_a_new_one(azure: Azure, night: Night) -> None:
    night.create("a")
    night.begin(DeleteBatchClusterOperator, "a")
    assert clusters(azure)["batch-"] == "Deleting"
    assert night.create("b")["HTTPS"].startswith("https://batch-mr-dev-")
    assert puts(azure) == 2


def test_a_cluster_that_cannot_be_made_is_told_by_hdinsights_reason_and_leaves_nothing(
    azure: Azure, night: Night
) -> None:
    azure.faults.fail("clusters/batch-", QUOTA)
    with pytest.raises(AirflowException, match="is Failed: BadRequest: The requested cores exceed the quota") as failed:
        night.create()
    assert not isinstance(failed.value, AirflowFailException)
    assert clusters(azure)["batch-"] == "Deleting"
    assert night.create()["HTTPS"].startswith("https://batch-mr-dev-"), "the next try"
    assert puts(azure) == 2


@pytest.mark.parametrize(("answer", "is_final"), [(REFUSED, True), (BUSY, False)])
def test_a_run_whose_cluster_azure_refuses_to_make_does_not_keep_that_of_another(
    azure: Azure, night: Night, answer: Answer, is_final: bool
) -> None:
    azure.faults.answer("PUT", "/clusters/batch-", answer)
    with pytest.raises(AirflowException) as failed:
        night.create("a")
    assert azure.faults.happened == 1
    assert isinstance(failed.value, AirflowFailException) == is_final
    assert night.store.files == {}
    night.create("b")
    night.delete("b")
    assert "batch-" not in clusters(azure)


def test_a_run_that_fails_when_its_cluster_is_made_does_not_keep_it(azure: Azure, night: Night) -> None:
    task, deferred = night.begin(CreateBatchClusterOperator, "a")
    night.store.lock.acquire()  # as if others held the lease for too long
    try:
        with pytest.raises(AssertionError, match="batch-cluster"):
            night.resumed(task, deferred, "a")
    finally:
        night.store.lock.release()
    assert night.store.files == {}


def test_a_cluster_that_was_not_made_for_batch_runs_is_never_deleted(azure: Azure, night: Night) -> None:
    night.create()
    (stored,) = (one for one in azure.manager.resources.others() if one.resource.name.startswith("batch-"))
    stored.resource.body["tags"].pop("millrace-lifetime")  # type: ignore[attr-defined]
    for task in (night.create, night.delete):
        with pytest.raises(AirflowFailException, match="only a cluster whose tag is 'batch'"):
            task()
    assert azure.asked("DELETE", "") == 0


def test_a_file_that_names_another_cluster_is_told_the_right_name(azure: Azure, tmp_path: Path) -> None:
    place = environment(tmp_path, "spark-mr-dev-abcdef")
    with pytest.raises(MillraceError, match=r"hdinsight.batch.cluster is 'spark-.*its name is 'batch-mr-dev-"):
        batch_cluster(place, ResourceManagerHook())


def test_where_clusters_are_entered_by_tokens_none_is_made_with_a_password(azure: Azure, tmp_path: Path) -> None:
    text = FILE.format(cluster="batch-mr-dev-abcdef").replace("[hdinsight]\n", '[hdinsight]\nlogin = "entra"\n')
    (tmp_path / "azure.toml").write_text(text)
    with pytest.raises(MillraceError, match=r"login is 'entra'.*or take the table hdinsight\.batch out"):
        batch_cluster(load_environment("azure.batch", folder=tmp_path), ResourceManagerHook())


def test_batch_runs_go_to_the_clusters_own_gateway_and_container(tmp_path: Path) -> None:
    settings = HdinsightSettings.of(environment(tmp_path, "batch-mr-dev-zyxwvu"))
    assert settings.gateway == "https://batch-mr-dev-zyxwvu.azurehdinsight.net"
    assert (settings.container, settings.connection) == ("batch", "azure_gateway")
    streams = HdinsightSettings.of(load_environment("azure", folder=tmp_path))
    assert streams.gateway == "https://spark-mr-dev-abcdef.azurehdinsight.net"


def test_without_the_table_there_is_no_cluster_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "azure.toml").write_text(FILE.partition("[hdinsight.batch]")[0])
    assert batch_environment("azure", folder=tmp_path) is None
    assert batch_environment("local") is None
    assert batch_environment("nowhere") is None


def test_no_secret_is_in_what_airflow_keeps(azure: Azure, night: Night) -> None:
    task, deferred = night.begin(CreateBatchClusterOperator)
    kept = f"{deferred.trigger.serialize()} {night.resumed(task, deferred)} {night.store.files}"
    assert PASSWORD not in kept

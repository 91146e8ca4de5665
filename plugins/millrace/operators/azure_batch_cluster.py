"""Setup and teardown of the Spark cluster that exists only while batch runs need it."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from millrace.operators.azure_errors import as_airflow_errors
from millrace.operators.azure_task import AzureTask
from millrace.supervision.generation import run_token, safe
from millrace.triggers.azure_cluster import AzureClusterTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millrace.azure.arm import Resource
    from millrace.azure.batch_cluster import Users
    from millrace.azure.clusters import Cluster, Clusters

__all__ = ["CreateBatchClusterOperator", "DeleteBatchClusterOperator"]


class _BatchClusterTask(AzureTask):
    """`environment` is a name that `millrace.environment.batch_environment` gives."""

    def __init__(self, *, environment: str, poll: timedelta = timedelta(seconds=30), **kwargs: Any) -> None:
        super().__init__(poll=poll, **kwargs)
        self.environment = environment

    def connect(self) -> tuple[Resource, Clusters, Users]:
        """The cluster as it is declared, Azure, and who uses the cluster. Raises MillraceError for a wrong file."""
        from millrace.azure.batch_cluster import Users, batch_cluster
        from millrace.azure.clusters import Clusters
        from millrace.platforms.hdinsight_settings import HdinsightSettings
        from millrace.platforms.hdinsight_store import JobStore
        from millrace.supervision.connection import environment_for_task

        environment = environment_for_task(self.environment)
        hook, settings = self.hook(), HdinsightSettings.of(environment)
        store = JobStore(environment, settings.container, settings.path)
        return batch_cluster(environment, hook), Clusters(hook), Users(store)


class CreateBatchClusterOperator(_BatchClusterTask):
    """Makes the cluster, and waits until it runs. Returns its endpoints by name.

    One that is there is used: another run's, or what an interrupted run has left. One whose creation failed, or that is
    being deleted, is made anew when it is gone.
    """

    def execute(self, context: Context) -> dict[str, str]:
        """Note the run as a user; make the cluster, or go on with the one that is there; then defer.

        Where that fails the run is no user any more: a failed setup has no teardown. The next try notes it again.
        """
        with as_airflow_errors():
            declared, clusters, users = self.connect()
            with users.joined(_run(context)):
                found = clusters.find(declared.id)
                if found is None:
                    clusters.create(declared)
                    self.log.info("cluster %s is being made", declared.name)
                else:
                    self._take(found, clusters)
        if found is not None and found.state == "Succeeded":
            return found.endpoints
        raise self.until_fired(AzureClusterTrigger, declared.id)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """Nothing is under way. Raises AirflowException with HDInsight's reason where it could not make the cluster:
        what is left of it is deleted, since a setup that fails has no teardown."""
        if event["state"] in ("Lost", "Succeeded"):  # gone, to be made anew; or there
            return self.execute(context)
        with as_airflow_errors():
            declared, clusters, users = self.connect()
            with users.changed():
                users.remove(_run(context))
                if (found := clusters.find(declared.id)) is not None:
                    self._take(found, clusters)
        raise AirflowException(
            f"the cluster for batch runs is {event['state']}: {event.get('reason') or 'HDInsight gives no reason'};"
            " correct the cause (a quota, the subnet, a setting), then clear this task; the next try makes it anew"
        )

    def _take(self, found: Cluster, clusters: Clusters) -> None:
        """The cluster that is there, another run's or what an interrupted run has left; not one that is broken."""
        from millrace.azure.batch_cluster import require_ours

        require_ours(found)
        self.log.info("cluster %s is there: %s", found.name, found.state)
        if found.state in ("Failed", "Canceled"):
            self.log.info("it could not be made: %s; what is left of it is deleted", "; ".join(found.errors))
            clusters.delete(found.id)


class DeleteBatchClusterOperator(_BatchClusterTask):
    """Deletes the cluster, unless another run uses it, and waits until it is gone. It deletes no other cluster, and no
    data: the lake, checkpoints and jobs lie in the storage account."""

    def execute(self, context: Context) -> None:
        """The run uses it no longer; delete it where nobody does, and defer."""
        from millrace.azure.batch_cluster import require_ours

        with as_airflow_errors():
            declared, clusters, users = self.connect()
            with users.changed():
                if others := users.remove(_run(context)):
                    self.log.info("cluster %s is used by %s: it stays", declared.name, ", ".join(others))
                    return
                found = clusters.find(declared.id)
                if found is None:
                    self.log.info("cluster %s is gone", declared.name)
                    return
                require_ours(found)
                if found.state != "Deleting":
                    clusters.delete(found.id)
                    self.log.info("cluster %s is being deleted", found.name)
        raise self.until_fired(AzureClusterTrigger, declared.id)

    def resume(self, context: Context, event: dict[str, Any]) -> None:
        """It is gone. Raises AirflowException where Azure has given up deleting it."""
        if event["state"] == "Lost":
            if "there is no cluster" not in str(event.get("reason")):
                raise AirflowFailException(f"the cluster for batch runs: {event.get('reason')}; see that it is deleted")
            return
        raise AirflowException(
            f"the cluster for batch runs reads {event['state']}, and is not being deleted any longer; Azure's activity"
            " log says what stands in the way (a lock?); the next try deletes it"
        )


def _run(context: Context) -> str:
    ti: Any = context["ti"]
    return f"{safe(ti.dag_id)}.{run_token(ti)}"

"""The task that gives an HDInsight cluster more workers, or fewer."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from millrace.operators.azure_errors import as_airflow_errors
from millrace.operators.azure_task import AzureTask
from millrace.triggers.azure_cluster import AzureClusterTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millrace.azure.clusters import Cluster, Clusters

__all__ = ["ScaleWorkersOperator"]


class ScaleWorkersOperator(AzureTask):
    """Gives the cluster `workers` workers, and waits without a worker slot. With as many already, nothing happens.

    Another try waits for what is under way before it asks again. Returns the cluster's endpoints by name.
    """

    template_fields: Sequence[str] = (*AzureTask.template_fields, "cluster_id", "workers")

    def __init__(self, *, cluster_id: str, workers: int | str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.cluster_id = cluster_id
        self.workers = workers

    def execute(self, context: Context) -> dict[str, str]:
        """Ask for it, unless it is so or something is under way; then defer."""
        with as_airflow_errors():
            found = self._cluster()
            if found.state == "Succeeded":
                if found.workers == int(self.workers):
                    self.log.info("cluster %s has %d workers", found.name, found.workers)
                    return found.endpoints
                self._clusters().resize(self.cluster_id, int(self.workers))
                self.log.info("cluster %s goes from %d to %s workers", found.name, found.workers, self.workers)
        raise self.until_fired(AzureClusterTrigger, self.cluster_id)

    def resume(self, context: Context, event: dict[str, Any]) -> dict[str, str]:
        """Nothing is under way any longer. Raises AirflowException where the cluster has not the workers asked for."""
        if event["state"] != "Succeeded":
            raise AirflowFailException(f"cluster {self.cluster_id}: {event.get('reason') or event['state']}")
        with as_airflow_errors():
            found = self._cluster()
        if found.workers != int(self.workers):
            raise AirflowException(
                f"cluster {found.name} has {found.workers} workers; the next try asks for {self.workers}"
            )
        return found.endpoints

    def _cluster(self) -> Cluster:
        found = self._clusters().find(self.cluster_id)
        if found is None:
            raise AirflowFailException(f"there is no cluster {self.cluster_id}")
        return found

    def _clusters(self) -> Clusters:
        from millrace.azure.clusters import Clusters

        return Clusters(self.hook())

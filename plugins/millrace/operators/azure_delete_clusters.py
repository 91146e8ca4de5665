"""The task that deletes an environment's HDInsight clusters and keeps its data: the way to stop paying for compute."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException

from millrace.operators.azure_delete import require_confirmation
from millrace.operators.azure_errors import as_airflow_errors
from millrace.operators.azure_task import EnvironmentTask
from millrace.triggers.azure_clusters_gone import AzureClustersGoneTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

    from millrace.azure.clusters import Cluster, Clusters

__all__ = ["DeleteClustersOperator"]

_KAFKA = "kafka-"  # as main.json names the cluster: its disks go with it


class DeleteClustersOperator(EnvironmentTask):
    """Deletes the clusters that bear the environment's tag, and waits without a worker slot. Returns their names.

    `kinds`: "spark" for all that hold nothing (Spark, Interactive Query, batch runs), whose data lie in the storage
    account; "all" for Kafka too, with every record that is not archived yet: that needs the confirmation. Networks,
    storage and secrets stay, and the DAG `provision` makes the clusters again. With none left, nothing happens.
    """

    template_fields: Sequence[str] = (*EnvironmentTask.template_fields, "kinds", "confirmation")

    def __init__(self, *, kinds: str, confirmation: str = "", **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.kinds = kinds
        self.confirmation = confirmation

    def execute(self, context: Context) -> list[str]:
        """Begin, and defer."""
        with as_airflow_errors():
            if self.kinds == "all":
                require_confirmation(self.confirmation, "deleting Kafka with the records that are not archived yet")
            clusters = self._connect()
            chosen = [one for one in clusters.of(self.environment()) if self._is_chosen(one)]
            for cluster in chosen:
                self.log.info("cluster %s (%s) is deleted", cluster.name, cluster.state)
                if cluster.state != "Deleting":
                    clusters.delete(cluster.id)
        if not chosen:
            self.log.info("no such cluster bears the tag of environment %s", self.environment())
            return []
        raise self.until_fired(AzureClustersGoneTrigger, [one.id for one in chosen])

    def resume(self, context: Context, event: dict[str, Any]) -> list[str]:
        """They are gone, or Azure has stopped deleting one."""
        if event["state"] == "Left":
            raise AirflowException(
                f"clusters {', '.join(event['clusters'])} are not being deleted any longer; Azure's activity log says "
                "what stands in the way (a lock?); the next try deletes them"
            )
        if event["state"] == "Lost":
            raise AirflowException(f"environment {self.environment()}: {event['reason']}")
        return sorted(event["clusters"])

    def _is_chosen(self, cluster: Cluster) -> bool:
        return self.kinds == "all" or not cluster.name.startswith(_KAFKA)

    def _connect(self) -> Clusters:
        from millrace.azure.clusters import Clusters

        return Clusters(self.hook())

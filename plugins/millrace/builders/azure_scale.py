"""The DAG `scale`: another number of workers for one of an environment's HDInsight clusters."""

from __future__ import annotations

from typing import Any

from airflow.sdk import get_current_context, task

from millrace.builders.azure import CONN_ID
from millrace.operators.approval import Approval
from millrace.operators.azure_errors import as_airflow_errors
from millrace.operators.azure_scale import ScaleWorkersOperator
from millrace.tasks.azure_scaling import plan_scaling

__all__ = ["scale"]

_PLANNED = "{{ ti.xcom_pull(task_ids='plan')['text'] }}"
_CLUSTER = "{{ ti.xcom_pull(task_ids='plan')['cluster_id'] }}"
_WHAT = "{{ params.prefix }}-{{ params.size }}, {{ params.cluster }}: {{ params.workers }} workers"


def scale() -> None:
    """Planned with its costs, approved, and done."""

    @task(retries=3)
    def plan() -> dict[str, Any]:
        from millrace.azure.clusters import Clusters
        from millrace.azure.hook import ResourceManagerHook

        context: Any = get_current_context()
        with as_airflow_errors():
            return plan_scaling(context["params"], Clusters(ResourceManagerHook(CONN_ID)))

    @task.short_circuit(retries=0)
    def is_change(planned: Any) -> bool:
        context: Any = get_current_context()
        return bool(planned["is_change"]) and not context["params"]["dry_run"]

    approved = Approval(task_id="approve", subject=f"Scale on Azure: {_WHAT}?", body=_PLANNED)
    workers = ScaleWorkersOperator(
        task_id="workers", cluster_id=_CLUSTER, workers="{{ params.workers }}", azure_conn_id=CONN_ID
    )
    is_change(plan()) >> approved >> workers

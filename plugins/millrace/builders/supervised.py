"""A DAG of one run, whose task keeps a job running until somebody stops it.

`@once` rather than `@continuous`: `@continuous` makes a new run as soon as the last one ended, failed or not, so a
job that was given up would start again within seconds, with its count of failures at zero, and a stop would need
the DAG to be paused in the same moment. Here one run is the job's life, and restarts are the task's own business.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta

from airflow.sdk import DAG, get_current_context, task

from millrace.operators.spark_stream import SparkStreamOperator
from millrace.supervision.generation import TaskTry
from millrace.supervision.restart_policy import RestartPolicy

__all__ = ["START", "restart_times", "supervised"]

START = datetime(2000, 1, 1, tzinfo=UTC)


def supervised(
    dag_id: str,
    description: str,
    doc: str,
    tags: list[str],
    keeper: Callable[[], SparkStreamOperator],
    stop_left: Callable[[TaskTry], None],
) -> DAG:
    """`keeper` makes the task; `stop_left` stops the job where the task's end did not."""
    dag = DAG(
        dag_id=dag_id,
        description=description,
        doc_md=doc,
        schedule="@once",
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["millrace", *tags],
    )
    with dag:

        @task(retries=3, retry_delay=timedelta(seconds=10))
        def ensure_stopped() -> None:
            stop_left(get_current_context()["ti"])

        keeper() >> ensure_stopped().as_teardown()  # runs however the task ended, and decides nothing
    return dag


def restart_times(policy: RestartPolicy) -> dict[str, object]:
    """For a DAG's page: `first` and `longest` in seconds, `limit` drivers, `stable` in minutes."""
    return {
        "first": f"{policy.first_delay.total_seconds():.0f}",
        "longest": f"{policy.max_delay.total_seconds():.0f}",
        "limit": policy.max_quick_failures,
        "stable": f"{policy.stable_after.total_seconds() / 60:.0f}",
    }

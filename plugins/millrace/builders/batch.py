"""The DAG of a pipeline's batch layer: every night, and over any past days by Airflow's own backfill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

from airflow.sdk import DAG, CronDataIntervalTimetable, Param, get_current_context, task, task_group

from jobs.lake import batch_query
from jobs.pipeline import Pipeline
from millrace.operators.reprocess import ReprocessOperator
from millrace.tasks.batch import certify_topic, log_parity, publish_run
from millrace.tasks.intervals import intervals_of_run

__all__ = ["batch_layer"]

_DOC = """
Reprocesses every interval of `{name}` ({length}) that ended within the run's data interval, from the raw archive, with
the transformation that the speed layer runs. Steps, per interval: **certify** that the archive has caught up with
Kafka, **reprocess** it (the only step that starts Spark), **compare** the result with what the speed layer served,
**publish** it in one commit.

*Past days*: create a backfill in the UI (or by the API). A run of logical date *D* covers the intervals that ended
between *D* and the next run: the nightly run of day *D* covers day *D*. Both dates of a backfill are inclusive, and
a date without a time means midnight: to include day *D*, end at the hour of the schedule on *D*, or a day later.
*One interval by hand*: trigger the DAG with `interval`, such as `2026-11-20`.
Running an interval again, or twice at once, ends in one published result.
"""


def batch_layer(
    pipeline: Pipeline,
    *,
    schedule: str = "0 2 * * *",
    parallel: int = 2,
    environment: str | None = None,
) -> DAG:
    """The DAG `<pipeline>__batch`.

    `schedule` is a cron expression in UTC. At most `parallel` intervals are reprocessed at once, over all runs: each
    is a Spark driver. `environment` is one of `infra/environments`.
    """
    dag = DAG(
        dag_id=batch_query(pipeline.name),
        description=f"Reprocesses {pipeline.name} from the raw archive and publishes it",
        doc_md=_DOC.format(name=pipeline.name, length=pipeline.interval),
        schedule=CronDataIntervalTimetable(schedule, timezone="UTC"),
        start_date=datetime(2000, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=3,
        params=_params(),
        tags=["millrace", pipeline.name, "batch"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    )
    with dag:
        _tasks(pipeline, parallel, environment)
    return dag


def _params() -> dict[str, Param]:
    interval = "One interval by hand: its start, such as 2026-11-20. Empty: those that ended in the data interval."
    return {"interval": Param(None, type=["null", "string"], title="Interval", description=interval)}


def _tasks(pipeline: Pipeline, parallel: int, environment: str | None) -> None:
    name, shown = pipeline.name, "{{ task.op_kwargs['interval'] }}"

    @task
    def intervals() -> list[str]:
        context: Any = get_current_context()
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        data_interval = (start, end) if start and end and start < end else None
        found = intervals_of_run(pipeline.interval, context["params"]["interval"], data_interval, datetime.now(UTC))
        return [interval.id for interval in found]

    @task(map_index_template=shown, retries=5, retry_delay=timedelta(seconds=20))
    def certify(interval: str) -> dict[str, Any]:  # its argument names it in the UI
        return certify_topic(name, environment)

    @task(map_index_template=shown)
    def compare(interval: str, run: Any) -> dict[str, int]:
        return log_parity(name, interval, run, environment)

    @task(map_index_template=shown)
    def publish(interval: str, run: Any, certificate: Any) -> bool:
        return publish_run(name, interval, run, certificate, environment)

    @task_group
    def interval_run(interval: str) -> None:
        certificate = certify(interval=interval)
        reprocess = ReprocessOperator(
            task_id="reprocess",
            pipeline=name,
            interval=interval,
            certificate=certificate,
            environment=environment,
            map_index_template="{{ task.interval }}",
            max_active_tis_per_dag=parallel,
        )
        compared = compare(interval=interval, run=reprocess.output)
        published = publish(interval=interval, run=reprocess.output, certificate=certificate)
        compared >> published

    interval_run.expand(interval=intervals())

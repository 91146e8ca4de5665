"""The DAG of a pipeline's batch layer: every night, and over any past days by Airflow's own backfill."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.providers.standard.operators.empty import EmptyOperator
from airflow.sdk import DAG, BaseOperator, CronDataIntervalTimetable, Param, get_current_context, task, task_group

from jobs.lake import batch_query, upgrade_query
from jobs.pipeline import Pipeline
from millrace.environment import batch_environment
from millrace.look_back import REPAIR_WITHIN
from millrace.operators.azure_batch_cluster import CreateBatchClusterOperator, DeleteBatchClusterOperator
from millrace.operators.certify import CertifyOperator
from millrace.operators.reprocess import ReprocessOperator
from millrace.supervision.connection import environment_for_task
from millrace.tasks.batch import log_parity, publish_run
from millrace.tasks.intervals import RunRequest
from millrace.tasks.partial_label import label_partial, partial_label
from millrace.tasks.repair import choose_intervals
from millrace.tasks.runs_in_progress import covered_by_runs_in_progress

__all__ = ["batch_layer", "interval_runs"]

_DOC = """
Reprocesses every interval of `{name}` ({length}) that ended within the run's data interval, from the raw archive, with
the transformation that the speed layer runs. Steps, per interval: **certify** that the archive holds all of it,
**reprocess** it (the only step that starts Spark), **compare** the result with what the speed layer served, **publish**
it in one commit.

It runs the *served version*, by that version's code, which is kept on the lake: changed code changes nothing here until
the DAG `{upgrade}` has brought it into service.

*Certify* waits, deferred, until {lateness} after the interval's end (the lateness that topic `{topic}` allows), then
until the archive has all that Kafka held at that time: its log says what it waits for. After {certify_within} it fails,
and nothing is published; clear it to try again. With `allow_partial` it does not wait, and the interval is published
as *partial* where the archive is not proven complete: the names of the tasks *certify*, *compare* and *publish*, their
logs, the view and the lists of intervals say so, until a complete run takes its place.

*Past days*: create a backfill in the UI (or by the API). A run of logical date *D* covers the intervals that ended
between *D* and the next run: the nightly run of day *D* covers day *D*. Both dates of a backfill are inclusive, and
a date without a time means midnight: to include day *D*, end at the hour of the schedule on *D*, or a day later.
*One interval by hand*: trigger the DAG with `interval`, such as `2026-11-20`.
*Late events*: what reaches an interval after the run that is served is *pending late*. Every scheduled run repairs the
intervals that ended in the {within} before its data interval does and have such events: it runs them again. At once:
trigger the DAG with `repair`, or `millrace repair {name}`. A backfill repairs none but its own.
*Missed nights*: a scheduled run also runs the intervals of these {within} that no published run serves, because nothing
ran or what ran failed: from the first published one on all, an empty day too; before it those that the archive has
events of or the speed layer serves. Not those that a run which is queued or running covers. An interval whose newest
run the gate refused is *held back* until the archive has more of it, or the gate accepts the run: the log of
*intervals* warns of it each night. Run it at once with `interval`.
Running an interval again, or twice at once, ends in one published result.
"""


def batch_layer(
    pipeline: Pipeline,
    *,
    schedule: str = "0 2 * * *",
    parallel: int = 2,
    environment: str | None = None,
    repair_within: timedelta = REPAIR_WITHIN,
    certify_within: timedelta = timedelta(hours=2),
) -> DAG:
    """The DAG `<pipeline>__batch`.

    `schedule` is a cron expression in UTC. At most `parallel` intervals are reprocessed at once, over all runs: each
    is a Spark driver. `environment` is one of `infra/environments`. Of the intervals that ended up to `repair_within`
    before its data interval does, a scheduled run also repairs those with pending late events, and runs those that were
    missed (see `millrace.lake.missed`); `timedelta(0)`: none. A run waits up to `certify_within` for an interval's
    archive to be proven complete. Where the environment's file has a table `[hdinsight.batch]`, a run makes a Spark
    cluster of its own and deletes it.
    """
    dag = DAG(
        dag_id=batch_query(pipeline.name),
        description=f"Reprocesses {pipeline.name} from the raw archive and publishes it",
        doc_md=_DOC.format(
            name=pipeline.name,
            upgrade=upgrade_query(pipeline.name),
            length=pipeline.interval,
            within=repair_within,
            topic=pipeline.topic.name,
            lateness=pipeline.topic.allowed_lateness,
            certify_within=certify_within,
        ),
        schedule=CronDataIntervalTimetable(schedule, timezone="UTC"),
        start_date=datetime(2000, 1, 1, tzinfo=UTC),
        catchup=False,
        max_active_runs=3,
        params=_params(),
        tags=["millrace", pipeline.name, "batch"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    )
    with dag:
        _tasks(pipeline, schedule, parallel, environment, repair_within, certify_within)
    return dag


def _params() -> dict[str, Param]:
    interval = "One interval by hand: its start, such as 2026-11-20. Empty: those that ended in the data interval."
    repair = "Instead: every published interval within the look-back that has pending late events."
    partial = (
        "Publish at once, as partial, what is in the archive where it is not proven complete. It"
        " hides what the speed layer serves of the interval: what comes later is pending late, and in no answer until"
        " the interval runs again."
    )
    return {
        "interval": Param(None, type=["null", "string"], title="Interval", description=interval),
        "repair": Param(False, type="boolean", title="Repair", description=repair),
        "allow_partial": Param(False, type="boolean", title="Allow partial", description=partial),
    }


def _tasks(
    pipeline: Pipeline,
    schedule: str,
    parallel: int,
    environment: str | None,
    repair_within: timedelta,
    certify_within: timedelta,
) -> None:
    @task
    def intervals() -> list[str]:
        context = get_current_context()
        where, request = environment_for_task(environment), RunRequest.of(context)
        elsewhere = partial(covered_by_runs_in_progress, context["ti"], schedule)
        return choose_intervals(where, pipeline, request, repair_within, elsewhere)

    chosen = intervals()
    own = batch_environment(environment)
    if own is None:
        interval_runs(pipeline, chosen, parallel, environment, certify_within)
    else:
        _on_its_own_cluster(pipeline, chosen, parallel, environment, certify_within, own)


def _on_its_own_cluster(
    pipeline: Pipeline, intervals: Any, parallel: int, environment: str | None, certify_within: timedelta, own: str
) -> None:
    """The same on a cluster that is made meanwhile, and deleted afterwards, whatever happens.

    It is made only where there is an interval to run. A failed deletion fails the run, for a cluster costs: by a task
    after it, since with Airflow's `on_failure_fail_dagrun` the deletion alone would decide how the run ended.
    """

    @task.short_circuit
    def is_cluster_needed(chosen: list[str]) -> bool:
        return bool(chosen)

    create = CreateBatchClusterOperator(task_id="create_cluster", environment=own)
    delete = DeleteBatchClusterOperator(task_id="delete_cluster", environment=own)
    delete.as_teardown(setups=create)
    runs = interval_runs(pipeline, intervals, parallel, environment, certify_within, cluster=(create, own))
    is_cluster_needed(intervals) >> create
    runs >> delete >> EmptyOperator(task_id="cluster_is_gone")


def interval_runs(
    pipeline: Pipeline,
    intervals: Any,
    parallel: int,
    environment: str | None,
    certify_within: timedelta,
    version: str | None = None,
    cluster: tuple[BaseOperator, str] | None = None,
) -> Any:
    """The group of tasks that certifies, reprocesses, compares and publishes each interval; `intervals` are their ids.

    Under `version`, which may be a template; by default the served one. `cluster`: the task that makes the cluster to
    run on, and the environment that names it.
    """
    name, shown = pipeline.name, "{{ task.op_kwargs['interval'] }}"
    label = partial_label(shown)

    @task(map_index_template=label)
    def compare(interval: str, run: Any, certificate: Any) -> dict[str, int]:
        label_partial(get_current_context(), certificate["partial"])
        return log_parity(name, interval, run, certificate, environment)

    @task(map_index_template=label)
    def publish(interval: str, run: Any, certificate: Any) -> bool:
        published = publish_run(name, interval, run, certificate, environment)
        label_partial(get_current_context(), certificate["partial"] if published else ())
        return published

    @task_group
    def interval_run(interval: str) -> None:
        certify = CertifyOperator(
            task_id="certify",
            pipeline=name,
            interval=interval,
            version=version,
            within=certify_within,
            environment=environment,
            retries=5,
            retry_delay=timedelta(seconds=20),
            map_index_template=partial_label("{{ task.interval }}"),
        )
        reprocess = ReprocessOperator(
            task_id="reprocess",
            pipeline=name,
            interval=interval,
            certificate=certify.output,
            version=version,
            environment=cluster[1] if cluster else environment,
            map_index_template="{{ task.interval }}",
            max_active_tis_per_dag=parallel,
        )
        if cluster:
            cluster[0] >> reprocess
        compared = compare(interval=interval, run=reprocess.output, certificate=certify.output)
        published = publish(interval=interval, run=reprocess.output, certificate=certify.output)
        compared >> published

    return interval_run.expand(interval=intervals)

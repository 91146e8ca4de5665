"""The DAG that brings a new version of a pipeline into service, beside the one that is served."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from functools import partial
from typing import Any

from airflow.sdk import DAG, Param, get_current_context, task

from jobs.lake import speed_query, upgrade_query
from jobs.pipeline import Pipeline
from millrace.builders.batch import interval_runs
from millrace.builders.stream_jobs import speed_job
from millrace.operators.approval import Approval
from millrace.operators.candidate_stream import CandidateStreamOperator
from millrace.supervision.restart_policy import RestartPolicy
from millrace.tasks.stream import stop_left_driver
from millrace.tasks.upgrade import (
    compare_with_served,
    is_candidate_caught_up,
    plan_upgrade,
    switch_version,
    withdraw_candidate,
)

__all__ = ["upgrade"]

_DOC = """
Brings the code here into service as a new version of `{name}`, while the served version goes on undisturbed.

1. **plan**: the version of the code against the served one. Where they are the same, the run is skipped.
2. **candidate**: the new version's stream starts beside the served one's, from the first unpublished interval.
3. **interval_run**: what is published is run again under the new version, which publishes it for itself: no reader
   sees it yet. `backfill_days` leaves older intervals to the old version, but for those that both have published and
   the old one better since: what late events have repaired would be taken back.
4. **caught_up**: waits until the candidate has processed all that the served stream has.
5. **compare_versions**: how the answers of both differ, per interval, in its log and in the question that follows.
6. **approve**: somebody approves or rejects, under *Required actions*; with `approve` nobody is asked.
7. **switch**: one commit, and every reader sees the new version, of both layers. `{speed}` then stops the old
   version's driver and adopts the candidate's, without a restart; only then *candidate* ends.

`millrace rollback {name}` is the same commit backwards: `{speed}` follows it too, with the old version's own code.

Before the switch nothing of the served version is touched: when a step fails, or somebody rejects, or marks the run
failed, the candidate stops and the run fails. Correct the cause and trigger the DAG again: it goes on with what is not
published yet. While `{speed}` has no active run, *candidate* keeps the new driver until it has one, or until another
version is served: a candidate that was rolled back, or overtaken, stops its driver and ends.
"""
_PLANNED = "{{ ti.xcom_pull(task_ids='plan')['version'] }}"
_SERVING = "{{ ti.xcom_pull(task_ids='plan')['serving'] }}"
_COMPARED = "{{ ti.xcom_pull(task_ids='compare_versions') }}"


def upgrade(
    pipeline: Pipeline,
    *,
    trigger: timedelta = timedelta(seconds=1),
    parallel: int = 2,
    policy: RestartPolicy | None = None,
    environment: str | None = None,
    certify_within: timedelta = timedelta(hours=2),
    catch_up_within: timedelta = timedelta(days=1),
) -> DAG:
    """The DAG `<pipeline>__upgrade`, which is triggered by hand after a deploy.

    `trigger` is the time from one micro-batch of the candidate to the next, `parallel` how many intervals are
    reprocessed at once. It waits up to `catch_up_within` for the candidate.
    """
    dag = DAG(
        dag_id=upgrade_query(pipeline.name),
        description=f"Brings a new version of {pipeline.name} into service",
        doc_md=_DOC.format(name=pipeline.name, speed=speed_query(pipeline.name)),
        schedule=None,
        start_date=datetime(2000, 1, 1, tzinfo=UTC),
        max_active_runs=1,
        params=_params(),
        tags=["millrace", pipeline.name, "upgrade"],
        default_args={"retries": 2, "retry_delay": timedelta(seconds=30)},
    )
    with dag:
        _tasks(pipeline, trigger, parallel, policy, environment, certify_within, catch_up_within)
    return dag


def _params() -> dict[str, Param]:
    days = (
        "Only intervals that ended in so many days are run under the new version, and older ones that it has published"
        " and that were repaired since. Empty: all that are published."
    )
    leave = "Switch also where the new version reads another topic, and events that the view has are not in that."
    return {
        "backfill_days": Param(None, type=["null", "number"], minimum=0, title="Backfill (days)", description=days),
        "approve": Param(False, type="boolean", title="Approve", description="Switch without asking anybody."),
        "leave_events": Param(False, type="boolean", title="Leave events", description=leave),
    }


def _tasks(
    pipeline: Pipeline,
    trigger: timedelta,
    parallel: int,
    policy: RestartPolicy | None,
    environment: str | None,
    certify_within: timedelta,
    catch_up_within: timedelta,
) -> None:
    query = upgrade_query(pipeline.name)

    @task
    def plan() -> Any:
        return plan_upgrade(pipeline, get_current_context()["params"]["backfill_days"], environment)

    @task
    def intervals(planned: Any) -> list[str]:
        return list(planned["intervals"])

    @task.sensor(poke_interval=10, timeout=catch_up_within.total_seconds(), mode="reschedule")
    def caught_up(planned: Any) -> bool:
        return is_candidate_caught_up(pipeline, planned, environment, lambda: _state_of("candidate"))

    @task(trigger_rule="none_failed_min_one_success")
    def compare_versions(planned: Any) -> str:
        return compare_with_served(pipeline, planned, environment)

    @task
    def switch(planned: Any) -> None:
        context = get_current_context()
        leave = bool(context["params"]["leave_events"])
        switch_version(pipeline, planned, environment, context["run_id"], lambda: _state_of("candidate"), leave)

    @task(trigger_rule="one_failed", retries=0)
    def withdraw() -> None:
        ti: Any = get_current_context()["ti"]
        withdraw_candidate(pipeline, ti.xcom_pull(task_ids="plan"), environment, ti)

    @task(retries=3, retry_delay=timedelta(seconds=10))
    def ensure_stopped() -> None:
        stop_left_driver(query, environment, get_current_context()["ti"])

    planned = plan()
    candidate = CandidateStreamOperator(
        task_id="candidate",
        pipeline=pipeline.name,
        version=_PLANNED,
        since=_SERVING,
        make_job=partial(speed_job, pipeline.name, trigger=trigger),
        policy=policy,
        environment=environment,
        retries=50,
        retry_delay=timedelta(seconds=5),
    )
    backfilled = interval_runs(pipeline, intervals(planned), parallel, environment, certify_within, _PLANNED)
    approved = Approval(task_id="approve", subject=f"Serve version {_PLANNED} of {pipeline.name}?", body=_COMPARED)
    level, compared, switched = caught_up(planned), compare_versions(planned), switch(planned)
    planned >> candidate >> ensure_stopped().as_teardown()  # runs however the stream ended, and decides nothing
    [backfilled, level] >> compared >> approved >> switched
    [planned, candidate, backfilled, level, compared, approved, switched] >> withdraw()


def _state_of(task_id: str) -> str | None:
    """The state of another task of this run."""
    context: Any = get_current_context()
    ti = context["ti"]
    states = ti.get_task_states(dag_id=ti.dag_id, task_ids=[task_id], run_ids=[ti.run_id])
    found: str | None = states.get(ti.run_id, {}).get(task_id)
    return found

"""The DAGs of replication: one keeps MirrorMaker running, one proves that the replica is complete."""

from __future__ import annotations

from datetime import timedelta

from airflow.sdk import DAG, task

from millrace.builders.supervised import START, restart_times, supervised
from millrace.operators.replicate import ReplicateOperator
from millrace.replication.job import REPLICATE
from millrace.supervision.restart_policy import RestartPolicy
from millrace.tasks.replication import check, stop_left_mirror

__all__ = ["check_replica", "replicate"]

_TAGS = ["replica"]
_KEEPS = """
Replicates the topics of the environment's Kafka to the cluster that its file names in the table `[replica]`, with
MirrorMaker 2, which runs on the machine of Airflow's workers. On the local platform a second broker is started for it.

| You do | Then |
| --- | --- |
| unpause the DAG for the first time | one run starts; it lives until replication is stopped |
| mark the task (or the run) failed or success | MirrorMaker commits what it has sent, and stops |
| clear the task | MirrorMaker stops so, and starts again with the settings that the file has then |
| trigger the DAG while nothing runs | a new run starts MirrorMaker, or adopts the one that runs |
| pause the DAG, or restart any process of Airflow | MirrorMaker runs on, and stays supervised |

When MirrorMaker ends, or a part of it fails, the end of its log is in the task's log and it is started again after
{first} s, then twice as long each time up to {longest} s. After {limit} in a row that ended within {stable} min the
task fails, stays failed, and says why. Every record that the source still has is replicated, whatever of this happens:
what it deletes while MirrorMaker stands, by its retention, is lost. Where the file says `exactly_once` nothing is
doubled; else records of the last seconds may be there twice. The DAG `check_replica` proves it.
"""
_CHECKS = """
Reads the replicated topics on both clusters and compares them record by record: key, value, headers and timestamp. The
task's log has a line for each partition: where the source ends, how many of its records are in the replica, how many
are behind (lag) or missing, how many are there twice. The task fails unless every record that the source had when it
began, and still has, is in the replica.
"""


def replicate(*, policy: RestartPolicy | None = None, environment: str | None = None) -> DAG:
    """The DAG `replicate`, which keeps MirrorMaker running. `environment` is one of `infra/environments`."""
    policy = policy or RestartPolicy()
    return supervised(
        REPLICATE,
        "Replicates Kafka's topics to a second cluster.",
        _KEEPS.format(**restart_times(policy)),
        _TAGS,
        lambda: ReplicateOperator(task_id="mirror", policy=policy, environment=environment),
        lambda ti: stop_left_mirror(environment, ti),
    )


def check_replica(
    *,
    schedule: str | None = "0 4 * * *",
    environment: str | None = None,
    timeout: timedelta = timedelta(hours=6),
) -> DAG:
    """The DAG `check_replica`, which fails where the replica lacks a record. `environment` as for `replicate`.

    It fails too where reading both clusters takes longer than `timeout`.
    """
    dag = DAG(
        dag_id="check_replica",
        description="Proves that the replica has every record.",
        doc_md=_CHECKS,
        schedule=schedule,
        start_date=START,
        catchup=False,
        max_active_runs=1,
        tags=["millrace", *_TAGS],
    )
    with dag:

        @task(retries=1, retry_delay=timedelta(minutes=5), execution_timeout=timeout)
        def compare() -> list[dict[str, object]]:
            return check(environment)

        compare()
    return dag

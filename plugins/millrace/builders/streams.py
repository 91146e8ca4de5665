"""DAGs of streams: one task that lives as long as its stream."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial

from airflow.sdk import DAG

from jobs.lake import alerts_query, archive_query, speed_query, upgrade_query
from jobs.pipeline import Pipeline
from jobs.pipelines import declared_alerts
from jobs.topic import Topic
from millrace.builders.stream_jobs import alerts_job, archive_job, served_speed_job
from millrace.builders.supervised import restart_times, supervised
from millrace.environment import Environment
from millrace.operators.spark_stream import SparkStreamOperator
from millrace.platforms.protocol import SparkJob
from millrace.supervision.restart_policy import RestartPolicy
from millrace.tasks.stream import stop_left_driver

__all__ = ["alerts_layer", "archive_layer", "speed_layer"]

_SEMANTICS = """
| You do | Then |
| --- | --- |
| unpause the DAG for the first time | one run starts; it lives until the stream is stopped |
| mark the task (or the run) failed or success | the stream stops after its current micro-batch |
| clear the task | the stream stops after its current micro-batch and starts again |
| trigger the DAG while nothing runs | a new run starts the stream, or adopts its live driver |
| trigger the DAG while a run is active | the new run waits, and starts the stream when the active one has ended |
| pause the DAG | the stream runs on; if it ends meanwhile, it is started again only when you unpause |
| restart any process of Airflow | the stream runs on and stays supervised |
| request a stop (`teardown`, or `stop.json` on the lake) | the stream stops and the run succeeds |

When the driver ends without being asked to, the end of its log is in the task's log and it is started again after
{first} s, then twice as long each time up to {longest} s. After {limit} drivers in a row that ended within {stable}
min of their start the task fails, stays failed, and says why. Nothing is lost or doubled by any of this: the
checkpoint and the transaction identifiers on the lake see to it.
"""

_VERSIONS = """

The stream is that of the *served version*, and runs that version's code, which is kept on the lake. Changed code does
not change it: the DAG `{upgrade}` brings a new version into service. When it has switched, or somebody has rolled
back, the stream of the version that is served then takes this one's place within seconds.
"""


_ALERTS = """

In real-time mode where Spark has it: an alert is in Kafka milliseconds after its event. The first start begins with the
events that come from then on. Alerts are delivered at least once: after a driver was killed, those of up to {epoch} s
come again, with the same `_topic`, `_partition` and `_offset` in their values. "After its current micro-batch" is after
its current epoch of {epoch} s. Changed code is in force when the task has been cleared.
"""


def archive_layer(
    topic: Topic,
    *,
    trigger: timedelta = timedelta(seconds=10),
    policy: RestartPolicy | None = None,
    environment: str | None = None,
) -> DAG:
    """The DAG `archive__<topic>`: every record of the topic goes to the raw archive, as it was received.

    `trigger` is the time from one micro-batch to the next. `environment` is one of `infra/environments`.
    """
    what = f"Archives every record of the Kafka topic `{topic.name}` in `raw/{topic.name}`, as it was received."
    make_job = partial(archive_job, topic, trigger)
    return _stream(archive_query(topic.name), what, [topic.name, "archive"], make_job, policy, environment)


def speed_layer(
    pipeline: Pipeline,
    *,
    trigger: timedelta = timedelta(seconds=1),
    policy: RestartPolicy | None = None,
    environment: str | None = None,
) -> DAG:
    """The DAG `<pipeline>__speed`: the pipeline's transformation as a stream, in the version that is served.

    Changed code is another version: the DAG of `upgrade` brings it into service.
    `trigger` is the time from one micro-batch to the next. `environment` is one of `infra/environments`.
    """
    what = f"Runs the transformation of `{pipeline.name}` as a stream over the Kafka topic `{pipeline.topic.name}`."
    make_job = partial(served_speed_job, pipeline, trigger)
    query, tags = speed_query(pipeline.name), [pipeline.name, "speed"]
    doc = what + _VERSIONS.format(upgrade=upgrade_query(pipeline.name))
    return _stream(query, doc, tags, make_job, policy, environment, follows=pipeline.name)


def alerts_layer(
    pipeline: Pipeline,
    *,
    epoch: timedelta = timedelta(seconds=10),
    policy: RestartPolicy | None = None,
    environment: str | None = None,
) -> DAG:
    """The DAG `<pipeline>__alerts`: what of the pipeline's topic is an alert goes to its alerts topic at once.

    Real-time mode notes its offsets at the end of each `epoch`, at least 5 s: a longer one sends more alerts twice when
    a driver is killed, and takes longer to stop. `environment` is one of `infra/environments`. Raises UsageError where
    the pipeline declares no alerts.
    """
    query, source, target = alerts_query(pipeline.name), pipeline.topic.name, declared_alerts(pipeline).topic
    what = f"Sends the alerts of `{pipeline.name}` from the Kafka topic `{source}` to `{target}`."
    doc = what + _ALERTS.format(epoch=f"{epoch.total_seconds():g}")
    make_job = partial(alerts_job, pipeline, epoch)
    return _stream(query, doc, [pipeline.name, "alerts"], make_job, policy, environment)


def _stream(
    query: str,
    what: str,
    tags: list[str],
    make_job: Callable[[Environment, str], SparkJob],
    policy: RestartPolicy | None,
    environment: str | None,
    follows: str | None = None,
) -> DAG:
    policy = policy or RestartPolicy()

    def keeper() -> SparkStreamOperator:
        return SparkStreamOperator(
            task_id="stream",
            query=query,
            make_job=make_job,
            policy=policy,
            environment=environment,
            follows=follows,
        )

    return supervised(
        query,
        what.partition("\n")[0].replace("`", ""),
        what + "\n" + _SEMANTICS.format(**restart_times(policy)),
        tags,
        keeper,
        partial(stop_left_driver, query, environment),
    )

"""The task that proves that Spark reaches Kafka's brokers, before streams start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from airflow.sdk.exceptions import AirflowException, AirflowFailException

from jobs.errors import MillraceError
from jobs.lake import Lake
from millrace.environment import Environment, Told
from millrace.kafka_brokers import advertised_brokers
from millrace.operators.spark_job import SparkJobOperator
from millrace.platforms.protocol import RunningJob, SparkJob
from millrace.supervision.broker_proof import note_broker_check
from millrace.supervision.connection import Connection, connect
from millrace.supervision.generation import Generation, asked_try, run_token
from millrace.triggers.spark_job import SparkJobTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["CheckBrokersOperator"]

_FOLDER = "broker_check"  # as jobs.broker_check names it, which imports Spark
# A check of the executors that happen to be there first would prove little.
_ALL_EXECUTORS = {
    "spark.scheduler.minRegisteredResourcesRatio": "1.0",
    "spark.scheduler.maxRegisteredResourcesWaitingTime": "120s",
}


class CheckBrokersOperator(SparkJobOperator):
    """Runs a small job on the environment's platform, and fails unless its driver and its executors reach every Kafka
    broker by the name that it advertises. Returns what was seen: see `jobs.broker_check.check_brokers`. Streams that
    start later say so where that failed, or was never asked: see `millrace.supervision.broker_proof`.

    `told` is what the environment's file leaves empty: see `millrace.environment.load_environment`.
    """

    template_fields: Sequence[str] = ("environment", "told")

    def __init__(self, *, told: Told | Any = None, **kwargs: Any) -> None:
        kwargs.setdefault("retries", 1)
        super().__init__(**kwargs)
        self.told = told

    def connect(self) -> Connection:
        """The environment, when the task runs. Raises AirflowFailException where its file is incomplete."""
        try:
            return connect(self.environment, self.told)
        except MillraceError as error:
            raise AirflowFailException(
                f"environment {self.environment!r}: {error}. Spark's way to Kafka is not proven: complete the file"
                " (docs/hdinsight.md, docs/databricks.md), then clear this task"
            ) from error

    def trigger(self, running: RunningJob) -> SparkJobTrigger:
        """The trigger that watches the job."""
        return SparkJobTrigger(running.id, running.owner, environment=self.environment, told=self.told)

    def make_job(self, context: Context, environment: Environment) -> SparkJob:
        """Named after the run, so that a retry finds its predecessor; a clear makes a new name."""
        ti = context["ti"]
        run, name = str(Generation.of(ti)), f"{run_token(ti)}.{asked_try(ti, self.retries or 0)}"
        brokers = ",".join(advertised_brokers(environment).values())
        where = ("--brokers", brokers, "--run", run, "--lake", environment.lake)
        return SparkJob(f"{_FOLDER}.{name}", ("brokers", *where), run, _ALL_EXECUTORS)

    def result(self, context: Context, owner: str) -> dict[str, Any]:
        """What the job of `owner` left on the lake. Raises AirflowException where a broker is not reached."""
        connection = self.connect()
        path = Lake("").run_result(_FOLDER, owner)
        report = connection.notes.read_json(path)
        if report is None:
            raise MillraceError(f"brokers: {path} is not on the lake; clear this task")
        self.log.info("asked from: %s", ", ".join(report["places"]))
        for broker in report["brokers"]:
            asked = broker["read"] or "no partition: it leads none of a declared topic"
            self.log.info("broker %s: %s; executors read %s", broker["address"], _seen(broker) or "reached", asked)
        complaint = _complaint(report)
        note_broker_check(connection.notes, connection.environment, complaint)
        if complaint:
            raise AirflowException(f"environment {connection.environment.name!r}: {complaint}")
        return report


def _complaint(report: Mapping[str, Any]) -> str | None:
    """What is wrong, the rule and the remedy; None where every broker is reached."""
    unreached = [f"broker {one['address']} is not reached: {_seen(one)}" for one in report["brokers"] if _seen(one)]
    if not unreached:
        return None
    return (
        f"{'; '.join(unreached)}. Spark must reach every broker by the name that it advertises: let Spark's network "
        "resolve the names (a private DNS zone) or let brokers advertise addresses (the task `advertised`), let "
        "security groups and firewalls pass the port (the template's `brokerClients`), give Kafka's login and "
        "its CA in the environment's file, let the login read the declared topics, then clear this task"
    )


def _seen(broker: Mapping[str, Any]) -> str:
    return "; ".join(f"{place}: {why}" for place, why in broker["unreached"].items())

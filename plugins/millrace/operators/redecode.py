"""The task that decodes a topic's dead letters again."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from jobs.lake import Lake, redecode_query
from jobs.topics import find_topic
from millrace.builders.redecode_job import redecode_job
from millrace.environment import Environment
from millrace.operators.spark_job import SparkJobOperator
from millrace.platforms.protocol import SparkJob
from millrace.supervision.generation import Generation, asked_try, run_token

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["RedecodeOperator"]


class RedecodeOperator(SparkJobOperator):
    """Redecodes the dead letters of `topic` (its name); returns what that did: see `jobs.redecode.redecode`.

    Its log warns of the published intervals that got events so and that ended before a nightly run looks back to.
    """

    template_fields: Sequence[str] = ("topic",)

    def __init__(self, *, topic: str, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.topic = topic

    def make_job(self, context: Context, environment: Environment) -> SparkJob:
        """Named after the run, so that a retry finds its predecessor; a clear makes a new name."""
        ti = context["ti"]
        name = f"{run_token(ti)}.{asked_try(ti, self.retries or 0)}"
        return redecode_job(find_topic(self.topic).name, environment, str(Generation.of(ti)), name)

    def result(self, context: Context, owner: str) -> dict[str, Any]:
        """What the job of `owner` left on the lake. Raises MillraceError where that is nothing."""
        from millrace.lake.beyond_look_back import beyond_look_back, lines_beyond  # here: see `ReprocessOperator`

        path, connection = Lake("").run_result(redecode_query(self.topic), owner), self.connect()
        result = connection.notes.read_json(path)
        if result is None:
            raise MillraceError(f"topic {self.topic!r}: {path} is not on the lake; clear this task")
        self.log.info("topic %s: %s", self.topic, result)
        now = datetime.now(UTC)
        for line in lines_beyond(beyond_look_back(connection.environment, self.topic, result["days"], now), now):
            self.log.warning("%s", line)
        return result

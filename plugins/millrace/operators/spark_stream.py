"""A task that keeps a stream alive."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any, NoReturn

from airflow.sdk import BaseOperator
from airflow.sdk.exceptions import AirflowFailException

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.platforms.protocol import JobStatus, RunningJob, SparkJob, UnknownJobError
from millrace.supervision.broker_proof import broker_doubt
from millrace.supervision.connection import Connection, connect, unreachable
from millrace.supervision.control import followed_stream, note_followed_stream
from millrace.supervision.driver_log import LOG_LINES, excerpt
from millrace.supervision.generation import Generation, is_fresh
from millrace.supervision.restart_policy import GiveUp, Restart, RestartPolicy, judge
from millrace.supervision.supervision import Supervision
from millrace.triggers.events import status_from_json
from millrace.triggers.spark_stream import SparkStreamTrigger

if TYPE_CHECKING:
    from airflow.sdk import Context

__all__ = ["SparkStreamOperator"]

_GRACE = timedelta(seconds=60)


class SparkStreamOperator(BaseOperator):
    """Keeps the driver of `query` running, without a worker slot, until somebody stops it.

    A live driver of the query is adopted; a second one is never started. When the driver ends, the end of its log is
    written to the task's log and `policy` decides: the task succeeds after a stop request, restarts the driver after
    a growing delay, or fails for good. Marking the task stops the driver gracefully, clearing it restarts the driver.
    `make_job(environment, owner)` declares the driver. Its name is that of its stream: with `follows`, a pipeline's
    name, it may change, and when another version of the pipeline is served, its driver takes the place of this one.
    """

    ui_color = "#dcecf7"

    def __init__(
        self,
        *,
        query: str,
        make_job: Callable[..., SparkJob],
        environment: str | None = None,
        policy: RestartPolicy | None = None,
        follows: str | None = None,
        **kwargs: Any,
    ) -> None:
        kwargs.setdefault("retries", 50)  # a known race of deferrals costs a try, as does a lost worker
        kwargs.setdefault("retry_delay", timedelta(seconds=5))
        super().__init__(**kwargs)
        self.query = query
        self.make_job = make_job
        self.environment = environment
        self.policy = policy or RestartPolicy()
        self.follows = follows
        self._supervision: Supervision | None = None

    def connect(self) -> Connection:
        """The environment, when the task runs."""
        return connect(self.environment)

    def unreachable(self) -> str | None:
        """What of the environment does not answer."""
        return unreachable(self.environment)

    def declare(self, environment: Environment, owner: str) -> SparkJob:
        """The driver that is to run now. Raises MillraceError where a declaration is wrong."""
        return self.make_job(environment, owner)

    def trigger(self, query: str, generation: str, **kwargs: Any) -> SparkStreamTrigger:
        """The trigger that watches a driver of the stream `query`, or waits to start one."""
        return SparkStreamTrigger(
            query=query, generation=generation, environment=self.environment, follows=self.follows, **kwargs
        )

    def execute(self, context: Context) -> None:
        """Adopt the live driver or start one, and defer. A retry goes on where the try before it was lost."""
        generation, is_asked = Generation.of(context["ti"]), is_fresh(context["ti"], self.retries or 0)
        if missing := self.unreachable():
            self.log.warning("query %s: waiting: %s", self.query, missing)
            self._wait(generation, timedelta(0), 0, None if is_asked else str(generation))
        supervision = self._supervise(generation)
        self._leave(supervision.connection, generation, supervision.query)
        running = supervision.find()
        last = None if is_asked else supervision.last_watch()
        if running is not None:
            if is_asked and supervision.is_own(running):
                self.log.info("query %s: the task was cleared: restarting driver %s", self.query, running.id)
                supervision.control.request_stop(running.owner, "its task was cleared", by_supervisor=True)
            self._adopt(supervision, running, last.failures if last else 0)
        if last is None:
            self._start(supervision, 0)
        try:
            status = supervision.connection.platform.settled_state(last.job_id)
        except UnknownJobError as error:
            self.log.warning("query %s: %s", self.query, error)
            self._start(supervision, last.failures)
        self._follow_up(supervision, last.job_id, status, last.failures, last.owner)

    def resume(
        self, context: Context, event: dict[str, Any], failures: int, owner: str | None, stream: str | None = None
    ) -> None:
        """The driver of `stream` that `owner` submitted has ended, or it is time to start one (None: the first).

        Or it lives, and another is to take its place. Where Kafka or the lake do not answer, that is no failure of the
        query: what follows is decided when they do.
        """
        generation = Generation.of(context["ti"])
        if "handed_over" in event:
            self.hand_over(generation)
            return
        if "unreachable" in event:
            self._start_in_time(generation, event["unreachable"], failures, owner, stream)
            return
        if missing := self.unreachable():
            self.log.warning("query %s: its driver ended (%s); waiting: %s", self.query, event["state"], missing)
            self._wait(generation, timedelta(0), failures, owner, stream)
        supervision = self._supervise(generation, stream)
        self._follow_up(supervision, event["job_id"], status_from_json(event), failures, owner)

    def hand_over(self, generation: Generation) -> None:
        """Another stream is wanted: the driver of this one stops, and that one's is adopted, or started."""
        supervision = self._supervise(generation)
        self._leave(supervision.connection, generation, supervision.query)
        if running := supervision.find():
            self._adopt(supervision, running, 0)
        self._start(supervision, 0)

    def on_kill(self) -> None:
        """Killed in a worker, between two deferrals: ask only, for there is no time to wait."""
        if self._supervision is None:
            return
        try:
            self._supervision.ask_own_to_stop("its task was killed in a worker")
        except Exception as error:  # noqa: BLE001 - whatever a client of a lake that is down raises
            self.log.warning("query %s: no graceful stop: %s", self.query, error)
            self.log.info("%s", self._supervision.cancel_own())

    def _supervise(self, generation: Generation, stream: str | None = None) -> Supervision:
        """Of this stream, by default of the one that is wanted now."""
        connection = self.connect()
        if stream is None:
            stream = self._declared(connection, generation).name
        self._supervision = Supervision(stream, generation, connection)
        return self._supervision

    def _declared(self, connection: Connection, generation: Generation) -> SparkJob:
        try:
            return self.declare(connection.environment, str(generation))
        except MillraceError as error:  # a rule is broken: trying again would not help
            raise AirflowFailException(f"query {self.query}: {error}") from error

    def _leave(self, connection: Connection, generation: Generation, wanted: str) -> None:
        """Stop the driver of the stream that this task supervised until now, where another one is wanted."""
        left = followed_stream(connection.notes, self.query)
        if left not in (None, wanted):
            self.log.info("query %s: %s takes the place of %s", self.query, wanted, left)
            superseded = Supervision(left, generation, connection)
            self.log.info("%s", superseded.stop_own(f"superseded by {wanted}", _GRACE))

    def _follow_up(
        self, supervision: Supervision, job_id: str, status: JobStatus, failures: int, owner: str | None
    ) -> None:
        """Decide what follows the end of a driver: the same again, if the try that decides is lost."""
        log = self._show(supervision, job_id, status)
        stop = supervision.stop_request(owner) if owner else None
        verdict = judge(self.query, status, stop=stop, failures=failures, policy=self.policy, log=log)
        if isinstance(verdict, GiveUp):
            raise AirflowFailException(verdict.why)
        if isinstance(verdict, Restart):
            self.log.warning("%s", verdict.why)
            self._wait(supervision.generation, verdict.delay, verdict.failures, owner, supervision.query)
        self.log.info("%s", verdict.why)

    def _start_in_time(
        self, generation: Generation, missing: str | None, failures: int, owner: str | None, stream: str | None
    ) -> None:
        if missing and owner is None:
            raise AirflowFailException(f"query {self.query}: {missing}, then clear this task")
        if missing:  # nothing is wrong with the query: it waits as long as it takes
            self._wait(generation, timedelta(0), failures, owner, stream)
        stop = self._supervise(generation, stream).stop_request(owner) if owner else None
        if stop and not stop.by_supervisor:
            self.log.info("query %s: stopped on request (%s) while it waited to restart", self.query, stop.reason)
            return
        supervision = self._supervise(generation)
        self._leave(supervision.connection, generation, supervision.query)
        if running := supervision.find():
            self._adopt(supervision, running, failures)
        self._start(supervision, failures)

    def _start(self, supervision: Supervision, failures: int) -> NoReturn:
        connection = supervision.connection
        if doubt := broker_doubt(connection.notes, connection.environment):
            self.log.warning("query %s: %s", self.query, doubt)
        try:
            running = supervision.start(self.declare)
        except MillraceError as error:  # a rule is broken: trying again would not help
            raise AirflowFailException(f"query {self.query}: {error}") from error
        self._adopt(supervision, running, failures)

    def _adopt(self, supervision: Supervision, running: RunningJob, failures: int) -> NoReturn:
        how = "started" if running.owner == str(supervision.generation) else f"adopting what {running.owner} started:"
        self.log.info("query %s: %s driver %s", self.query, how, running.id)
        supervision.adopt(running, failures)
        if supervision.query != self.query:
            note_followed_stream(supervision.connection.notes, self.query, supervision.query)
        self._defer(supervision.generation, failures, running.owner, supervision.query, job_id=running.id)

    def _wait(
        self, generation: Generation, delay: timedelta, failures: int, owner: str | None, stream: str | None = None
    ) -> NoReturn:
        self._defer(generation, failures, owner, stream, not_before=(datetime.now(UTC) + delay).isoformat())

    def _defer(
        self, generation: Generation, failures: int, owner: str | None, stream: str | None, **trigger: str
    ) -> NoReturn:
        kwargs = {"failures": failures, "owner": owner, "stream": stream}
        trigger_ = self.trigger(stream or self.query, str(generation), **trigger)
        self.defer(trigger=trigger_, method_name="resume", kwargs=kwargs)

    def _show(self, supervision: Supervision, job_id: str, status: JobStatus) -> list[str]:
        """The end of the driver's log, copied to the task's log."""
        try:
            log = supervision.connection.platform.logs(job_id, LOG_LINES)
        except MillraceError as error:
            log = [str(error)]
        self.log.info("driver %s: %s (exit code %s); its log ends with:", job_id, status.state, status.exit_code)
        for line in excerpt(log):
            self.log.info("| %s", line)
        return log

"""What the demonstration does, step by step, through Airflow's API."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime, timedelta

from confluent_kafka import KafkaException

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import archive_query, batch_query, speed_query
from jobs.pipelines.stock_high_low.pipeline import stock_high_low as PIPELINE
from millrace.demo.dags import Dags
from millrace.demo.picture import Picture, take_picture
from millrace.demo.sample import sample_intervals
from millrace.demo.steps import Steps, StepState
from millrace.demo.streams import Streams
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.lake.published import publications
from millrace.lake.view import read_view
from millrace.waiting import until

__all__ = ["TITLES", "Play"]

TOPIC = PIPELINE.topic
ARCHIVE, SPEED, BATCH = archive_query(TOPIC.name), speed_query(PIPELINE.name), batch_query(PIPELINE.name)
REPLAY, PRODUCE, PROVISION = "replay_stock_ticks", "produce_stock_ticks", "provision"
TITLES = {
    "downloads": "downloads (once: jars, Azurite)",
    "airflow": "Airflow",
    "provision": f"Kafka, Azurite, topics, container ({PROVISION})",
    "replay": f"sample days into Kafka ({REPLAY})",
    "archive": f"raw archive ({ARCHIVE})",
    "speed": f"speed layer ({SPEED})",
    "batch": f"batch layer: a backfill ({BATCH})",
    "live": f"live ticks ({PRODUCE})",
}
_BACKFILLED = 3
_PARALLEL_RUNS = 3  # the DAG itself runs two drivers at once; what needs none goes on beside them
_LIVE_TICKS_PER_S = 10
_LIVE_TICKS = {"rate": _LIVE_TICKS_PER_S, "duration_s": None, "seed": 7}  # the sample's seed: prices at its level
_REPLAY_ENDS, _PRODUCER_ENDS, _QUIET = timedelta(seconds=15), timedelta(seconds=10), timedelta(seconds=1)
_PATIENCE = timedelta(minutes=10)


class Play:
    """One performance, after Airflow is up. Each step recognises what an earlier one has left, and goes on from there.

    Raises MillraceError where a step fails.
    """

    def __init__(self, home: Home, steps: Steps, dags: Dags) -> None:
        self._home = home
        self._steps = steps
        self._dags = dags
        self._began = datetime.now(UTC)
        self.environment: Environment | None = None

    def perform(self) -> Picture:
        """All steps; what there is to see at the end."""
        environment = self._provision()
        self.environment = environment
        streams = Streams(environment)
        self._start_archive()
        self._replay(streams)
        self._start_speed()
        offsets = streams.ends(TOPIC)
        self._await_stream("archive", ARCHIVE, streams, offsets)
        self._await_stream("speed", SPEED, streams, offsets)
        intervals = self._backfill(environment)
        self._await_live_rows(environment)
        return take_picture(environment, PIPELINE, intervals)

    def failed_runs(self) -> list[str]:
        """The runs of this demonstration's DAGs that failed."""
        dag_ids = (PROVISION, REPLAY, ARCHIVE, SPEED, PRODUCE, BATCH)
        return [f"{dag_id} {run}" for dag_id in dag_ids for run in self._dags.failed(dag_id)]

    def settle(self) -> None:
        """Before the end: a replay is not cut off (it would begin anew), the producer counts what it sent."""
        if self.environment is None:
            return
        streams = Streams(self.environment)
        with suppress(MillraceError, KafkaException):
            until(lambda: not self._dags.active(REPLAY), _REPLAY_ENDS)
            if self._dags.end(PRODUCE):
                until(lambda: streams.ends(TOPIC) == streams.ends_after(TOPIC, _QUIET), _PRODUCER_ENDS)

    def _provision(self) -> Environment:
        self._steps.begin("provision")
        self._dags.await_success(PROVISION, self._dags.start(PROVISION), _PATIENCE)
        environment = load_environment("local", home=self._home)
        self._steps.done("provision", f"Kafka {environment.kafka_bootstrap}, lake {environment.lake}")
        return environment

    def _start_archive(self) -> None:
        self._steps.begin("archive")
        self._dags.keep_running(ARCHIVE)

    def _replay(self, streams: Streams) -> None:
        self._steps.begin("replay")
        wanted = {interval.start.date().isoformat() for interval in sample_intervals(timedelta(days=1))}
        if self._dags.succeeded_before(REPLAY) or wanted <= streams.archived_dates(TOPIC):
            self._steps.done("replay", "done before")
            return
        self._dags.await_success(REPLAY, self._dags.start(REPLAY), _PATIENCE)
        self._steps.done("replay", f"{sum(streams.ends(TOPIC).values()):,} records")

    def _start_speed(self) -> None:
        """After the replay: to a running stream, past days would be late."""
        self._steps.begin("speed")
        self._dags.keep_running(SPEED)

    def _start_live_ticks(self) -> None:
        """Not before the backfill is nearly done: a busy speed layer takes one of a small machine's two cores."""
        if self._steps.all["live"].state is not StepState.WAITING:
            return
        self._steps.begin("live")
        self._dags.end(PRODUCE)  # one that an earlier demonstration left: its process is gone
        self._dags.client.await_dag(PRODUCE)
        self._dags.client.unpause(PRODUCE)
        self._dags.client.trigger(PRODUCE, _LIVE_TICKS)

    def _await_stream(self, step: str, query: str, streams: Streams, offsets: dict[int, int]) -> None:
        self._dags.await_all(query, lambda: streams.covers(query, offsets), _PATIENCE)
        self._steps.done(step, f"{sum(offsets.values()):,} records")

    def _backfill(self, environment: Environment) -> list[Interval]:
        """The intervals of the backfill, all published."""
        ended = self._began - TOPIC.allowed_lateness  # what ended later would be waited for
        intervals = [each for each in sample_intervals(PIPELINE.interval) if each.end <= ended][:_BACKFILLED]
        self._steps.begin("batch")
        missing = self._missing(environment, intervals)
        if missing:
            self._request_backfill(missing)
        self._dags.client.unpause(BATCH)  # from now on it also runs every night

        def all_published() -> bool:
            left = self._missing(environment, intervals)
            if len(left) <= 1:
                self._start_live_ticks()
            self._steps.note("batch", f"{len(intervals) - len(left)} of {len(intervals)} days published")
            return not left

        self._dags.await_all(BATCH, lambda: all_published() and not self._active_backfill_runs(intervals), _PATIENCE)
        how = "" if missing else ", before"
        self._steps.done("batch", f"{len(intervals)} days published{how}; nightly from now on")
        return intervals

    def _request_backfill(self, missing: list[Interval]) -> None:
        client = self._dags.client
        client.await_dag(BATCH)
        if any(not found.is_completed for found in client.backfills(BATCH)) and self._active_backfill_runs(missing):
            return  # an earlier demonstration's, which goes on
        client.create_backfill(
            BATCH, missing[0].start, missing[-1].end, reprocess="failed", max_active_runs=_PARALLEL_RUNS
        )

    def _active_backfill_runs(self, intervals: list[Interval]) -> list[str]:
        return [
            run["dag_run_id"]
            for run in self._dags.client.runs(BATCH)
            if run["run_type"] == "backfill"
            and run["state"] in ("queued", "running")
            and intervals[0].start <= datetime.fromisoformat(run["logical_date"]) < intervals[-1].end
        ]

    @staticmethod
    def _missing(environment: Environment, intervals: list[Interval]) -> list[Interval]:
        published = {publication.interval for publication in publications(environment, PIPELINE)}
        return [interval for interval in intervals if interval not in published]

    def _await_live_rows(self, environment: Environment) -> None:
        since = self._began - PIPELINE.windows.length

        def seen() -> int:
            rows = read_view(environment, PIPELINE, since)
            return rows["_layer"].to_pylist().count("speed") if rows.num_rows else 0

        self._dags.await_all(PRODUCE, lambda: seen() > 0, _PATIENCE)
        self._steps.done("live", f"{_LIVE_TICKS_PER_S} ticks a second, {seen():,} rows in the view")

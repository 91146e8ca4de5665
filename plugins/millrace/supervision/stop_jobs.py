"""Stopping everything that runs on the local platform, before Kafka and the lake go."""

from __future__ import annotations

import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

from jobs.lake import alerts_query, archive_query, speed_query, upgrade_query
from jobs.pipelines import pipeline_names, pipelines_with_alerts
from jobs.topics import TOPICS
from millrace.environment import Environment
from millrace.home import Home
from millrace.platforms.local import LocalPlatform, local_platform
from millrace.platforms.protocol import RunningJob
from millrace.supervision.connection import unanswered
from millrace.supervision.control import StreamControl, followed_stream

__all__ = ["ask_to_stop", "is_stream", "stop_jobs", "stream_queries"]

_POLL_S = 0.25


def stream_queries() -> list[str]:
    """The queries of all declared topics and pipelines: the DAG ids of their streams."""
    queries = [archive_query(topic) for topic in sorted(TOPICS)] + [speed_query(name) for name in pipeline_names()]
    return queries + [alerts_query(pipeline.name) for pipeline in pipelines_with_alerts()]


def stop_jobs(
    environment: Environment,
    reason: str,
    *,
    stay_stopped: bool,
    grace: timedelta = timedelta(seconds=30),
    home: Home | None = None,
) -> list[str]:
    """Ask every stream to stop, wait for `grace`, and cancel what is left, batch jobs too; what happened, in words.

    With `stay_stopped` their tasks succeed, and a stream that waits for its restart stays stopped too. Without, their
    tasks start them again as soon as Airflow and the environment are back.
    """
    platform = local_platform(environment, home)
    live = platform.live_jobs()
    streams = [job for job in live if is_stream(job.name)]
    if (live or stay_stopped) and unanswered(environment) is None:
        _ask(environment, {job.name for job in streams}, reason, stay_stopped)
        _await_end(platform, streams, grace)
    left = platform.live_jobs()
    _cancel(platform, left)
    done = [f"{job.name}: cancelled" for job in left]
    return done + [f"{job.name}: ended" for job in live if job not in left]


def ask_to_stop(environment: Environment, reason: str) -> None:
    """Ask every stream of an environment, wherever it runs, to stop after its micro-batch and to stay stopped."""
    _ask(environment, set(), reason, stay_stopped=True)


def is_stream(name: str) -> bool:
    """Whether a job of this name is a stream: of a query, or of one of its versions."""
    return bool({name, name.rpartition(".")[0]} & set(stream_queries()))


def _ask(environment: Environment, running: set[str], reason: str, stay_stopped: bool) -> None:
    """The running ones; to stay stopped, also those that wait for their restart."""
    from millrace.lake.store import LakeStore  # here: it loads the storage client

    store = LakeStore(environment)
    candidates = [upgrade_query(name) for name in pipeline_names()]
    queries = [*stream_queries(), *candidates] if stay_stopped else []
    for query in running | {followed_stream(store, query) or query for query in queries}:
        StreamControl(store, query).request_stop("*", reason, by_supervisor=not stay_stopped)


def _await_end(platform: LocalPlatform, jobs: Iterable[RunningJob], grace: timedelta) -> None:
    deadline = time.monotonic() + grace.total_seconds()
    waiting = {job.id for job in jobs}
    while waiting & {job.id for job in platform.live_jobs()} and time.monotonic() < deadline:
        time.sleep(_POLL_S)


def _cancel(platform: LocalPlatform, jobs: list[RunningJob]) -> None:
    with ThreadPoolExecutor(max_workers=len(jobs) or 1) as pool:
        list(pool.map(lambda job: platform.cancel(job.id, timedelta(seconds=3)), jobs))

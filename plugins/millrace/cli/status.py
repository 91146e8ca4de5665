"""What runs at this moment, as JSON can hold it."""

from __future__ import annotations

from collections.abc import Callable
from concurrent.futures import Future
from datetime import UTC, datetime, timedelta
from threading import Thread
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from millrace.home import Home
from millrace.platforms.protocol import JobState
from millrace.supervision.driver_log import LOG_LINES, error_line

if TYPE_CHECKING:
    from millrace.environment import Environment
    from millrace.platforms.protocol import RunningJob, SparkPlatform

__all__ = ["current_status", "partial_intervals", "recent_restarts", "stream_status"]

_PATIENCE = timedelta(minutes=1)
_RECENT = timedelta(days=1)
_NOTHING: dict[str, Any] = {"streams": [], "versions": [], "partial": [], "jobs": []}


def current_status(home: Home | None = None, patience: timedelta = _PATIENCE) -> dict[str, Any]:
    """Processes, Airflow's address and health, streams, Spark jobs; `problem`: what does not answer, and the remedy.

    `streams` are those of the topics, and of each pipeline that of the served version and all that run. `versions`
    says where the code here is another version than the served one, `partial` which published intervals are served as
    partial, and why. Times are in seconds (`uptime_s`), lags in records. `processes` and `airflow` are those of the
    local stack, and so are `restarts`, what died of it and when it is started again: they are empty for an environment
    that is elsewhere. What a cluster does not tell within `patience` is
    a problem: its client may try for minutes.
    """
    home = home or Home.current()
    environment, problem = _environment(home)
    is_local = environment is None or environment.platform == "local"
    return {
        "home": str(home.root),
        "environment": environment and environment.name,
        "platform": environment and environment.platform,
        "processes": _processes(home) if is_local else [],
        "airflow": _airflow(home) if is_local else None,
        "restarts": recent_restarts(home) if is_local else [],
        **({**_NOTHING, "problem": problem} if environment is None else _spark(environment, home, problem, patience)),
    }


def _spark(environment: Environment, home: Home, problem: str | None, patience: timedelta) -> dict[str, Any]:
    """What a platform tells; one that does not answer is a problem too."""

    def ask() -> dict[str, Any]:
        return {
            "streams": stream_status(environment, home, answers=problem is None),
            "versions": [] if problem else _versions(environment),
            "partial": [] if problem else partial_intervals(environment),
            "jobs": _jobs(environment, home),
            "problem": problem,
        }

    if environment.platform == "local":
        return ask()
    try:
        return _within(patience, ask)
    except Exception as error:  # noqa: BLE001 - whatever a client of the platform raises
        told = f"environment {environment.name!r}: {environment.platform} cannot be asked what runs: {error}"
        return {**_NOTHING, "problem": f"{problem}; {told}" if problem else told}


def _within(patience: timedelta, ask: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """The answer, or the error. Raises TimeoutError; who asks is left behind then, and ends with the process."""
    answer: Future[dict[str, Any]] = Future()

    def run() -> None:
        try:
            answer.set_result(ask())
        except Exception as error:  # noqa: BLE001 - raised again where it is waited for
            answer.set_exception(error)

    Thread(target=run, daemon=True).start()
    try:
        return answer.result(patience.total_seconds())
    except TimeoutError:
        raise TimeoutError(f"no answer within {patience.total_seconds():g} s") from None


def _environment(home: Home) -> tuple[Environment | None, str | None]:
    from millrace.environment import load_environment
    from millrace.supervision.connection import unanswered

    try:
        environment = load_environment(home=home)
    except MillraceError as error:
        return None, str(error)
    return environment, unanswered(environment)


def _processes(home: Home) -> list[dict[str, Any]]:
    from millrace.stack.lifecycle import status

    return [
        {
            "name": found.name,
            "state": found.state,
            "pid": found.pid,
            "endpoint": found.endpoint,
            "uptime_s": found.uptime and round(found.uptime.total_seconds(), 1),
        }
        for found in status(home)
    ]


def _airflow(home: Home) -> dict[str, Any] | None:
    """None where Airflow was not started."""
    from millrace.stack.airflow import airflow_url, health
    from millrace.stack.process_record import load_records

    if not any(record.name.startswith("airflow-") for record in load_records(home)):
        return None
    return {"url": airflow_url(home), "health": health(home)}


def recent_restarts(home: Home) -> list[str]:
    """What ended by itself within the last day, in words."""
    from millrace.stack.restarts import load_restarts

    since = datetime.now(UTC) - _RECENT
    return [restart.line() for restart in load_restarts(home) if restart.at > since]


def stream_status(environment: Environment, home: Home, *, answers: bool) -> list[dict[str, Any]]:
    """Of each stream that is wanted or runs: its state, how its last driver ended, where that one's log is, and, where
    the lake `answers`, how far it is.

    Raises MillraceError, and what the platform's client raises, where the platform does not answer.
    """
    from millrace.lake.progress import StreamProgress
    from millrace.supervision.stop_jobs import is_stream

    platform = _platform(environment, home)
    live = {job.name: job for job in platform.live_jobs() if is_stream(job.name)}
    progress = StreamProgress(environment) if answers else None
    wanted = _wanted_streams(environment, answers=answers)
    rows = [
        {
            "query": query,
            "is_candidate": answers and query not in wanted,
            **_driver(platform, query, live.get(query)),
            "lag": progress.lag(query) if progress else None,
            "last_progress": progress.last(query) if progress else None,
        }
        for query in [*wanted, *sorted(set(live) - set(wanted))]
    ]
    return rows + _replication(environment, home)


def _replication(environment: Environment, home: Home) -> list[dict[str, Any]]:
    """As a row of streams; none where this machine never replicated the environment's topics."""
    if not (home.replication / environment.name).exists():
        return []
    from millrace.replication.job import REPLICATE, mirror_connection

    platform = mirror_connection(environment, home).platform
    row = {"query": REPLICATE, "is_candidate": False, **_driver(platform, REPLICATE, platform.find(REPLICATE))}
    return [row | {"lag": None, "last_progress": None}]


def _driver(platform: SparkPlatform, query: str, live: RunningJob | None) -> dict[str, Any]:
    """`last_error`: what the log of a driver says that failed; None while one runs."""
    job = live.id if live else platform.last_job(query)
    found: dict[str, Any] = {"state": "running" if live else "stopped", "job": live and live.id, "last_error": None}
    found["log"] = platform.log_place(job) if job else None
    if job is None or live:
        return found
    status = platform.state(job)
    if status.state not in (JobState.FAILED, JobState.LOST):
        return found
    how = f"exit code {status.exit_code}" if status.exit_code else str(status.state)
    ended = status.ended_at.isoformat(timespec="seconds") if status.ended_at else "an unknown time"
    return found | {"state": "failed", "last_error": f"{how} at {ended}: {error_line(platform.logs(job, LOG_LINES))}"}


def _wanted_streams(environment: Environment, *, answers: bool) -> list[str]:
    """Of the topics, of the served version of each pipeline, which only the lake knows, and of alerts."""
    from jobs.lake import alerts_query, archive_query, speed_stream
    from jobs.pipelines import find_pipeline, pipeline_names, pipelines_with_alerts
    from jobs.topics import TOPICS
    from millrace.lake.serving import served_version

    names = pipeline_names() if answers else []
    served = {name: served_version(environment, find_pipeline(name)) for name in names}
    alerts = [alerts_query(pipeline.name) for pipeline in pipelines_with_alerts()]
    return [*map(archive_query, sorted(TOPICS)), *(speed_stream(name, served[name]) for name in served), *alerts]


def _versions(environment: Environment) -> list[str]:
    from jobs.pipelines import pipeline_names
    from millrace.supervision.served_stream import code_line

    return [line for name in pipeline_names() if (line := code_line(environment, name))]


def partial_intervals(environment: Environment) -> list[str]:
    """Of every pipeline, in words: see `partial_lines`."""
    from jobs.pipelines import find_pipeline, pipeline_names
    from millrace.lake.partial import partial_lines
    from millrace.lake.published import publications

    pipelines = map(find_pipeline, pipeline_names())
    return [line for each in pipelines for line in partial_lines(each, publications(environment, each))]


def _jobs(environment: Environment, home: Home) -> list[dict[str, Any]]:
    platform = _platform(environment, home)

    def told(job: RunningJob) -> dict[str, Any]:
        uptime = datetime.now(UTC) - platform.state(job.id).started_at
        return {"name": job.name, "id": job.id, "owner": job.owner, "uptime_s": round(uptime.total_seconds(), 1)}

    return [told(job) for job in platform.live_jobs()]


def _platform(environment: Environment, home: Home) -> SparkPlatform:
    from millrace.platforms import platform_for
    from millrace.platforms.local import local_platform

    return local_platform(environment, home) if environment.platform == "local" else platform_for(environment)

"""What runs at this moment, as JSON can hold it."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.errors import MillraceError
from millrace.home import Home

if TYPE_CHECKING:
    from millrace.environment import Environment
    from millrace.platforms.protocol import RunningJob

__all__ = ["current_status", "partial_intervals", "stream_status"]


def current_status(home: Home | None = None) -> dict[str, Any]:
    """Processes, Airflow's address and health, streams, Spark jobs; `problem`: what does not answer, and the remedy.

    `streams` are those of the topics, and of each pipeline that of the served version and all that run. `versions`
    says where the code here is another version than the served one, `partial` which published intervals are served as
    partial, and why. Times are in seconds (`uptime_s`), lags in records.
    """
    home = home or Home.current()
    environment, problem = _environment(home)
    return {
        "home": str(home.root),
        "processes": _processes(home),
        "airflow": _airflow(home),
        "streams": [] if environment is None else stream_status(environment, home, answers=problem is None),
        "versions": [] if environment is None or problem else _versions(environment),
        "partial": [] if environment is None or problem else partial_intervals(environment),
        "jobs": [] if environment is None else _jobs(environment, home),
        "problem": problem,
    }


def _environment(home: Home) -> tuple[Environment | None, str | None]:
    from millrace.environment import load_environment
    from millrace.supervision.connection import unreachable

    try:
        environment = load_environment("local", home=home)
    except MillraceError as error:
        return None, str(error)
    return environment, unreachable(environment.name)


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


def stream_status(environment: Environment, home: Home, *, answers: bool) -> list[dict[str, Any]]:
    """Of each stream that is wanted or runs: its state, and where the lake `answers`, how far it is."""
    from millrace.lake.progress import StreamProgress
    from millrace.platforms.local import local_platform
    from millrace.supervision.stop_jobs import is_stream

    live = {job.name: job for job in local_platform(environment, home).live_jobs() if is_stream(job.name)}
    progress = StreamProgress(environment) if answers else None
    wanted = _wanted_streams(environment, answers=answers)
    return [
        {
            "query": query,
            "is_candidate": answers and query not in wanted,
            "state": "running" if query in live else "stopped",
            "job": live[query].id if query in live else None,
            "lag": progress.lag(query) if progress else None,
            "last_progress": progress.last(query) if progress else None,
        }
        for query in [*wanted, *sorted(set(live) - set(wanted))]
    ]


def _wanted_streams(environment: Environment, *, answers: bool) -> list[str]:
    """Of the topics, and of the served version of each pipeline, which only the lake knows."""
    from jobs.lake import archive_query, speed_stream
    from jobs.pipelines import find_pipeline, pipeline_names
    from jobs.topics import TOPICS
    from millrace.lake.serving import served_version

    names = pipeline_names() if answers else []
    served = {name: served_version(environment, find_pipeline(name)) for name in names}
    return [*map(archive_query, sorted(TOPICS)), *(speed_stream(name, served[name]) for name in served)]


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
    from millrace.platforms.local import local_platform

    platform = local_platform(environment, home)

    def told(job: RunningJob) -> dict[str, Any]:
        uptime = datetime.now(UTC) - platform.state(job.id).started_at
        return {"name": job.name, "id": job.id, "owner": job.owner, "uptime_s": round(uptime.total_seconds(), 1)}

    return [told(job) for job in platform.live_jobs()]

"""`millrace archive`, `millrace speed` and `millrace alerts`: the streams, without Airflow."""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import Version

if TYPE_CHECKING:
    from millrace.environment import Environment
    from millrace.platforms.protocol import RunningJob, SparkJob
    from millrace.supervision.connection import Connection
    from millrace.supervision.supervision import Supervision

__all__ = ["register", "run_stream"]

_GRACE = timedelta(seconds=75)

ARCHIVE_EXAMPLES = """Examples:\n
millrace archive stock_ticks — keep the raw archive until Ctrl-C, which stops it after its micro-batch\n
millrace archive stock_ticks --detach — in the background; see `millrace status`\n
millrace archive stock_ticks --stop — stop it, whoever started it
"""
SPEED_EXAMPLES = """Examples:\n
millrace speed stock_high_low — run the speed layer until Ctrl-C\n
millrace speed stock_high_low --trigger 5 --detach — a micro-batch every 5 seconds, in the background\n
millrace speed stock_high_low --stop — stop it, whoever started it\n
millrace speed stock_high_low --version here --detach — changed code beside the served version: a candidate
"""
ALERTS_EXAMPLES = """Examples:\n
millrace alerts stock_high_low — send alerts until Ctrl-C, which stops it after its epoch\n
millrace alerts stock_high_low --detach — in the background; see `millrace status`\n
millrace alerts stock_high_low --stop — stop it, whoever started it
"""

Detach = Annotated[bool, typer.Option("--detach", help="Leave it running in the background.")]
Stop = Annotated[bool, typer.Option("--stop", help="Stop the running one after its micro-batch.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(epilog=ARCHIVE_EXAMPLES)(archive)
    app.command(epilog=SPEED_EXAMPLES)(speed)
    app.command(epilog=ALERTS_EXAMPLES)(alerts)


def archive(
    topic: Annotated[str, typer.Argument(help="A topic of jobs/topics.py.")],
    trigger: Annotated[float, typer.Option(min=0, help="Seconds from micro-batch to micro-batch.")] = 10.0,
    detach: Detach = False,
    stop: Stop = False,
) -> None:
    """Archive every record of a topic, as it was received."""
    from jobs.lake import archive_query
    from jobs.topics import find_topic
    from millrace.builders.stream_jobs import archive_job

    found = find_topic(topic)
    every = timedelta(seconds=trigger)
    run_stream(archive_query(found.name), lambda where, owner: archive_job(found, every, where, owner), detach, stop)


def speed(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    trigger: Annotated[float, typer.Option(min=0, help="Seconds from micro-batch to micro-batch.")] = 1.0,
    version: Version = None,
    detach: Detach = False,
    stop: Stop = False,
) -> None:
    """Run a pipeline's speed layer: its transformation on the stream.

    Of the version that is served; the first version that ever runs is served from then on.
    """
    from jobs.lake import speed_stream
    from jobs.pipelines import find_pipeline
    from millrace.builders.stream_jobs import served_speed_job, speed_job
    from millrace.cli.shared import chosen_version, connected

    found, every = find_pipeline(pipeline), timedelta(seconds=trigger)
    chosen = chosen_version(connected(), found, version)
    if version is None:
        make_job = partial(served_speed_job, found, every)
    else:
        make_job = partial(speed_job, found.name, chosen, every)
    run_stream(speed_stream(found.name, chosen), make_job, detach, stop)


def alerts(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines that declares alerts.")],
    epoch: Annotated[float, typer.Option(min=5, help="Seconds after which real-time mode notes its offsets.")] = 10.0,
    detach: Detach = False,
    stop: Stop = False,
) -> None:
    """Send a pipeline's alerts to their topic, as their events come."""
    from jobs.lake import alerts_query
    from jobs.pipelines import declared_alerts, find_pipeline
    from millrace.builders.stream_jobs import alerts_job

    found = find_pipeline(pipeline)
    declared_alerts(found)
    run_stream(alerts_query(found.name), partial(alerts_job, found, timedelta(seconds=epoch)), detach, stop)


def run_stream(
    query: str,
    make_job: Callable[[Environment, str], SparkJob],
    detach: bool,
    stop: bool,
    connect: Callable[[], Connection] | None = None,
) -> None:
    """Start the query's driver and follow it, or stop the one that runs; `connect` says where, by default as others.

    Raises MillraceError where one runs already, and where it fails.
    """
    from millrace.cli.follow import owner_token
    from millrace.cli.shared import connected
    from millrace.interrupt import interruptible
    from millrace.supervision.generation import Generation
    from millrace.supervision.supervision import Supervision

    supervision = Supervision(query, Generation.parse(owner_token(query)), (connect or connected)())
    if stop:
        _stop(supervision)
        return
    if running := supervision.find():
        raise MillraceError(
            f"query {query!r} is run by job {running.id} (submitted by {running.owner}); a query has one driver; stop "
            "that one with --stop"
        )
    running = supervision.start(make_job)
    typer.echo(f"query {query}: started job {running.id}", err=True)
    if not detach:
        with interruptible():
            _follow(supervision, running)


def _follow(supervision: Supervision, running: RunningJob) -> None:
    from millrace.cli.follow import follow
    from millrace.platforms.protocol import JobState

    platform = supervision.connection.platform
    try:
        status = follow(platform, running.id)
    except KeyboardInterrupt:
        typer.echo("stopping after the micro-batch under way; Ctrl-C again stops at once", err=True)
        _stop(supervision)
        status = platform.settled_state(running.id)
    if status.state not in (JobState.SUCCEEDED, JobState.CANCELLED):
        raise MillraceError(
            f"query {supervision.query!r}: job {running.id} {status.state} with exit code {status.exit_code}; its log "
            "says why"
        )


def _stop(supervision: Supervision) -> None:
    """Ask the live driver, whoever started it; cancel it when it does not stop, or on Ctrl-C."""
    running = supervision.find()
    if running is None:
        typer.echo(f"query {supervision.query}: nothing runs")
        return
    supervision.control.request_stop(running.owner, "millrace --stop")
    try:
        if not supervision.ends_within(running, _GRACE):
            typer.echo(f"query {supervision.query}: did not stop within {_GRACE.seconds} s, cancelling", err=True)
    except KeyboardInterrupt:
        typer.echo("cancelling", err=True)
    supervision.connection.platform.cancel(running.id, timedelta(seconds=3))
    typer.echo(f"query {supervision.query}: stopped")

"""`millrace reprocess`: intervals of the batch layer, without Airflow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import Json, print_json

if TYPE_CHECKING:
    from jobs.interval import Interval
    from jobs.pipeline import Pipeline
    from millrace.lake.certificate import Certificate
    from millrace.platforms.protocol import SparkJob
    from millrace.supervision.connection import Connection

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace reprocess stock_high_low 2026-11-20 — one day: certify, reprocess, compare, publish\n
millrace reprocess stock_high_low 2026-11-18 2026-11-19 2026-11-20 --json — three days, a line of JSON at the end\n
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(reprocess)


def reprocess(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    interval: Annotated[list[str], typer.Argument(help="Starts of intervals: 2026-11-20 or 20261120T000000Z.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the archive to catch up.")] = 300.0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the drivers' logs on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Reprocess intervals from the raw archive, compare them with the speed layer, and publish them."""
    from jobs.interval import Interval
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.tasks.parity_table import parity_lines

    found = find_pipeline(pipeline)
    intervals = [Interval.parse(text, found.interval) for text in interval]
    connection = connected()
    results = []
    for each in intervals:
        result = _reprocess(connection, found, each, timedelta(seconds=wait), verbose)
        results.append(result)
        for line in [] if as_json else [*parity_lines(found.name, each.id, result), _told(each, result)]:
            typer.echo(line)
    if as_json:
        print_json({"pipeline": found.name, "intervals": results})


def _reprocess(
    connection: Connection, pipeline: Pipeline, interval: Interval, wait: timedelta, verbose: bool
) -> dict[str, Any]:
    """What the run counted, with `published`: False where a newer run of the interval is served already."""
    from jobs.lake import Lake
    from millrace.cli.follow import owner_token
    from millrace.lake.certificate import certify
    from millrace.lake.published import publish

    typer.echo(f"{pipeline.name} {interval.id}: certifying the archive", err=True)
    certificate = certify(connection.environment, pipeline.topic, wait)
    job = _job(connection, pipeline, interval, certificate, owner_token("reprocess"))
    typer.echo(f"{pipeline.name} {interval.id}: reprocessing from version {certificate.raw_version}", err=True)
    _await(connection, job, verbose)
    result = connection.notes.read_json(Lake("").run_result(pipeline.name, job.owner))
    if result is None:
        raise MillraceError(f"run {job.owner!r} of {pipeline.name!r} left no result on the lake; run it again")
    published = publish(
        connection.environment,
        pipeline,
        interval,
        run=job.owner,
        version=result["version"],
        certificate=certificate,
        result=result,
    )
    return {**result, "published": published}


def _job(
    connection: Connection, pipeline: Pipeline, interval: Interval, certificate: Certificate, run: str
) -> SparkJob:
    from jobs.lake import batch_query
    from jobs.version import fingerprint
    from millrace.platforms.protocol import SparkJob

    return SparkJob(
        name=f"{batch_query(pipeline.name)}.{interval.id}.{run}",
        owner=run,
        arguments=(
            "reprocess",
            *("--pipeline", pipeline.name),
            *("--interval", interval.id),
            *("--run", run),
            *("--version", fingerprint(pipeline)),
            *("--raw-version", str(certificate.raw_version)),
            *("--lake", connection.environment.lake),
        ),
    )


def _await(connection: Connection, job: SparkJob, verbose: bool) -> None:
    """Raises MillraceError, with the end of the driver's log, where the job does not succeed. Ctrl-C cancels it."""
    from millrace.cli.follow import follow
    from millrace.interrupt import interruptible
    from millrace.platforms.protocol import JobState

    platform = connection.platform
    running = platform.submit(job)
    try:
        with interruptible():
            status = follow(platform, running.id, quiet=not verbose)
    except KeyboardInterrupt:
        platform.cancel(running.id, timedelta(seconds=3))
        raise
    if status.state is not JobState.SUCCEEDED:
        tail = "\n".join(platform.logs(running.id, 30))
        raise MillraceError(
            f"job {running.id}: {status.state} with exit code {status.exit_code}; correct the cause and run it again. "
            f"Its log ends with:\n{tail}"
        )


def _told(interval: Interval, result: dict[str, Any]) -> str:
    counts = f"{result['rows_read']:,} events, {result['dead_letters']:,} dead letters, {result['rows_written']:,} rows"
    how = "published" if result["published"] else "not published: a newer run of it is"
    return f"interval {interval.id}: {counts}; {how}"

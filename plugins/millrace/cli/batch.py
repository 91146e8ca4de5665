"""`millrace reprocess`: intervals of the batch layer, without Airflow."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import Json, Version, chosen_version, print_json

if TYPE_CHECKING:
    from jobs.interval import Interval
    from jobs.pipeline import Pipeline
    from millrace.lake.certificate import Certificate
    from millrace.supervision.connection import Connection

__all__ = ["register", "reprocess_interval", "told"]

EXAMPLES = """Examples:\n
millrace reprocess stock_high_low 2026-11-20 — one day: certify, reprocess, compare, publish\n
millrace reprocess stock_high_low 2026-11-18 2026-11-19 2026-11-20 --json — three days, a line of JSON at the end\n
millrace reprocess stock_high_low 2026-11-20 --allow-partial — publish what is there, marked as partial\n
millrace reprocess stock_high_low 2026-11-20 --version here — under the version of the code here, not yet served\n
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(reprocess)


def reprocess(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    interval: Annotated[list[str], typer.Argument(help="Starts of intervals: 2026-11-20 or 20261120T000000Z.")],
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait until the archive is proven complete.")] = 300.0,
    allow_partial: Annotated[
        bool,
        typer.Option(
            "--allow-partial",
            help="Do not wait: publish, as partial, what is in the archive. What comes later is in no answer until the"
            " interval is run again: its speed rows are hidden.",
        ),
    ] = False,
    version: Version = None,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the drivers' logs on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Reprocess intervals from the raw archive, compare them with the speed layer, and publish them.

    An interval is published when its archive is proven complete: its end and the topic's allowed lateness have passed,
    and the archive holds all that Kafka held then. Until then the command waits, and says what for.
    """
    from jobs.interval import Interval
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.tasks.parity_table import parity_lines

    found = find_pipeline(pipeline)
    intervals = [Interval.parse(text, found.interval) for text in interval]
    connection = connected()
    chosen = chosen_version(connection, found, version)
    results = []
    for each in intervals:
        result = reprocess_interval(connection, found, each, timedelta(seconds=wait), verbose, allow_partial, chosen)
        results.append(result)
        for line in (
            [] if as_json else [*parity_lines(found.name, each.id, result, result["partial"]), told(each, result)]
        ):
            typer.echo(line)
    if as_json:
        print_json({"pipeline": found.name, "intervals": results})


def reprocess_interval(
    connection: Connection,
    pipeline: Pipeline,
    interval: Interval,
    wait: timedelta,
    verbose: bool,
    allow_partial: bool = False,
    version: str | None = None,
) -> dict[str, Any]:
    """What the run of a version, by default the served one, counted.

    With `published`: False where a better run of the interval is published already. And with `partial`: why the archive
    was not proven complete; empty where it was. Raises MillraceError where it is not within `wait`, unless
    `allow_partial`.
    """
    from jobs.lake import Lake
    from millrace.builders.reprocess_job import reprocess_job
    from millrace.cli.follow import owner_token, run_to_end
    from millrace.lake.declared import declared
    from millrace.lake.late_records import publish_and_record
    from millrace.lake.serving import served_version
    from millrace.lake.speed_removal import as_compared

    version = version or served_version(connection.environment, pipeline)
    pipeline = declared(connection.environment, pipeline, version)
    certificate = _certify(connection, pipeline, interval, wait, allow_partial)
    run = owner_token("reprocess")
    job = reprocess_job(pipeline, interval, certificate.to_json(), connection.environment, run, version)
    typer.echo(f"{pipeline.name} {interval.id}: reprocessing from version {certificate.raw_version}", err=True)
    run_to_end(connection.platform, job, verbose)
    result = connection.notes.read_json(Lake("").run_result(pipeline.name, job.owner))
    if result is None:
        raise MillraceError(f"run {job.owner!r} of {pipeline.name!r} left no result on the lake; run it again")
    result = as_compared(connection.environment, pipeline.name, interval.id, result)
    published = publish_and_record(
        connection.environment, pipeline, interval, run=job.owner, certificate=certificate, result=result
    )
    return {**result, "published": published, "partial": certificate.partial}


def _certify(
    connection: Connection, pipeline: Pipeline, interval: Interval, wait: timedelta, allow_partial: bool
) -> Certificate:
    """What is waited for, or missing, goes to stderr."""
    from millrace.lake.certificate import await_proof
    from millrace.lake.interval_claim import interval_claim

    def tell(what: str) -> None:
        typer.echo(f"{pipeline.name} {interval.id}: {what}", err=True)

    tell("certifying the archive")
    claim = interval_claim(connection.environment, pipeline, interval)
    if not allow_partial:
        return await_proof(claim, wait, lambda reason: tell(f"waiting: {reason}"))
    certificate = claim.partial()
    for reason in certificate.partial:
        tell(f"partial: {reason}")
    return certificate


def told(interval: Interval, result: dict[str, Any]) -> str:
    """One line about a result of `reprocess_interval`."""
    from millrace.lake.published import publication_line

    counts = f"{result['rows_read']:,} events, {result['dead_letters']:,} dead letters, {result['rows_written']:,} rows"
    return f"interval {interval.id}: {counts}; {publication_line(result['published'], result['partial'])}"

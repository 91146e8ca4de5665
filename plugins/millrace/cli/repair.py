"""`millrace repair`: published intervals that late events reached, reprocessed."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import Json, print_json

if TYPE_CHECKING:
    from jobs.interval import Interval
    from jobs.pipeline import Pipeline
    from millrace.supervision.connection import Connection

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace repair stock_high_low — every published interval of the last 7 days that has pending late events\n
millrace repair stock_high_low --dry-run --json — only say which these are\n
millrace repair stock_high_low --within 400 — reach further back than the nightly run does\n
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(repair)


def repair(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    within: Annotated[
        float, typer.Option(min=0, max=36_500, help="Days back: only intervals that ended in them.")
    ] = 7.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be repaired, and repair nothing.")] = False,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for the archive to catch up.")] = 300.0,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the drivers' logs on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Reprocess published intervals with pending late events: those that reached the archive after their run.

    And intervals that were published as partial, and whose archive is proven complete by now.
    """
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.lake.pending_late import look_back, overdue

    found, connection = find_pipeline(pipeline), connected()
    look = look_back(connection.environment, found)
    recent, older = overdue(connection.environment, look, datetime.now(UTC), timedelta(days=within))
    if not as_json:
        typer.echo("\n".join(_pending_lines(found, recent, older, within)))
    repaired = [] if dry_run else _repair(connection, found, list(recent), timedelta(seconds=wait), verbose, as_json)
    if as_json:
        print_json(
            {"pipeline": found.name, "pending_late": _by_id(recent), "older": _by_id(older), "repaired": repaired}
        )
    if any("error" in run for run in repaired):
        raise typer.Exit(1)


def _repair(
    connection: Connection, pipeline: Pipeline, intervals: list[Interval], wait: timedelta, verbose: bool, as_json: bool
) -> list[dict[str, Any]]:
    """The results of the runs, oldest interval first; of one that failed, its interval and `error`."""
    from millrace.cli.batch import reprocess_interval, told
    from millrace.tasks.parity_table import parity_lines

    results = []
    for interval in intervals:
        try:
            result = reprocess_interval(connection, pipeline, interval, wait, verbose)
        except MillraceError as error:
            results.append({"interval": interval.id, "error": str(error)})
            typer.echo(f"error: {error}", err=True)
            continue
        results.append(result)
        for line in (
            []
            if as_json
            else [*parity_lines(pipeline.name, interval.id, result, result["partial"]), told(interval, result)]
        ):
            typer.echo(line)
    return results


def _pending_lines(
    pipeline: Pipeline, recent: Mapping[Interval, int], older: Mapping[Interval, int], within: float
) -> list[str]:
    from millrace.lake.pending_late import why_repaired

    none = f"{pipeline.name}: no published interval of the last {within:g} days is to be repaired"
    lines = [f"interval {interval.id}: {why_repaired(count)}" for interval, count in recent.items()]
    older_lines = [
        f"interval {interval.id}: {why_repaired(count)}, ended more than {within:g} days ago: not repaired;"
        " give a greater --within"
        for interval, count in older.items()
    ]
    return [*older_lines, *(lines or [none])]


def _by_id(counts: Mapping[Interval, int]) -> dict[str, int]:
    return {interval.id: count for interval, count in counts.items()}

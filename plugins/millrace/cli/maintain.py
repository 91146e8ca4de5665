"""`millrace remove-speed-rows`: what the speed layer said of intervals that batch has answered for long."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Annotated

import typer

from millrace.cli.shared import Json, print_json

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace remove-speed-rows stock_high_low --dry-run — which intervals' rows nothing needs any more\n
millrace remove-speed-rows stock_high_low — of those that ended more than 30 days ago\n
millrace remove-speed-rows stock_high_low --older-than 90 --json — for scripts\n
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("remove-speed-rows", epilog=EXAMPLES)(remove_speed_rows)


def remove_speed_rows(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    older_than: Annotated[
        float, typer.Option(min=0, max=36_500, help="Days: only intervals that ended longer ago.")
    ] = 30.0,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    as_json: Json = False,
) -> None:
    """Remove the speed layer's rows of intervals that every version of it has published; no answer changes.

    Rows of partial intervals stay. A later repair of an interval without them is not compared with the speed layer.
    """
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.lake.speed_removal import clean_up

    found, environment = find_pipeline(pipeline), connected().environment
    before = datetime.now(UTC) - timedelta(days=older_than)
    intervals, lines, deleted = clean_up(environment, found, before, dry_run=dry_run)
    if as_json:
        ids = [each.id for each in intervals]
        print_json({"pipeline": found.name, "intervals": ids, "dry_run": dry_run, "deleted_files": deleted})
        return
    none = f"{found.name}: no interval that ended more than {older_than:g} days ago has speed rows to remove"
    typer.echo("\n".join(lines or [none]))

"""`millrace late`: what the speed layer dropped, per window."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import Json, plain_table, print_json, print_rich

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace late stock_high_low 2026-11-20 — events of the day that the speed layer dropped as late, per window\n
millrace late stock_high_low 2026-11-20 --json\n
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(late)


def late(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    interval: Annotated[str, typer.Argument(help="The interval's start: 2026-11-20 or 20261120T000000Z.")],
    as_json: Json = False,
) -> None:
    """Count the events of an interval that the served speed layer dropped as late, as far as they are archived."""
    from jobs.interval import Interval
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.lake.declared import declared
    from millrace.lake.late import late_events
    from millrace.lake.serving import served_version

    found = find_pipeline(pipeline)
    each = Interval.parse(interval, found.interval)
    environment = connected().environment
    version = served_version(environment, found)
    dropped = late_events(environment, declared(environment, found, version), each, version)
    if dropped is None:
        raise MillraceError(
            f"pipeline {found.name!r}: version {version} of its speed layer has never run, so it dropped nothing; the"
            f" result of another version's newest run says what that dropped: millrace explain {found.name} {each.id}"
            " --version VERSION"
        )
    if as_json:
        windows, batches = list(dropped.windows.items()), list(dropped.micro_batches.items())
        print_json({"interval": each.id, "events": dropped.events, "windows": windows, "micro_batches": batches})
        return
    table = plain_table()
    table.add_column("window")
    table.add_column("late events", justify="right")
    for start, events in dropped.windows.items():
        table.add_row(f"{start:%Y-%m-%d %H:%M:%S}", f"{events:,}")
    if dropped.windows:
        print_rich(table)
    by = f", dropped by {len(dropped.micro_batches):,} micro-batches" if dropped.events else ""
    typer.echo(f"{found.name} {each.id}: {dropped.events:,} late events in {len(dropped.windows):,} windows{by}")

"""`millrace late`: what the speed layer dropped, per window; and what was late whenever that was recorded."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import Json, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from jobs.pipeline import Pipeline

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace late stock_high_low 2026-11-20 — events of the day that the speed layer dropped as late, per window\n
millrace late stock_high_low 2026-11-20 --json\n
millrace late stock_high_low — late and pending late events of every published interval, as last recorded\n
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(late)


def late(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    interval: Annotated[
        str | None, typer.Argument(help="The interval's start: 2026-11-20 or 20261120T000000Z. Without: the records.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Count the events of an interval that the served speed layer dropped as late, as far as they are archived.

    Without an interval: the batch layer's progress records, which say what was late and pending late each time that an
    interval was published and each night of the look-back. The table has the newest of each interval, and below it what
    is partial now; --json has all, with the late events of each window.
    """
    from jobs.pipelines import find_pipeline

    found = find_pipeline(pipeline)
    if interval is None:
        _show_records(found, as_json)
    else:
        _show_interval(found, interval, as_json)


def _show_records(pipeline: Pipeline, as_json: bool) -> None:
    from millrace.cli.shared import connected
    from millrace.lake.late_records import late_records
    from millrace.lake.partial import partial_lines
    from millrace.lake.published import publications

    environment = connected().environment
    records = list(late_records(environment, pipeline))
    if as_json:
        print_json({"pipeline": pipeline.name, "records": records})
        return
    if not records:
        typer.echo(f"{pipeline.name}: no record yet; the first is written when an interval is published")
        return
    table = plain_table()
    table.add_column("interval")
    table.add_column("late", justify="right")
    table.add_column("of windows", justify="right")
    table.add_column("pending late", justify="right")
    table.add_column("recorded at (UTC)")
    for interval, record in sorted({record["interval"]: record for record in records}.items()):
        late, windows = ("" if record[name] is None else f"{record[name]:,}" for name in ("late", "late_windows"))
        at = datetime.fromisoformat(record["at"])
        table.add_row(interval, late, windows, f"{record['pending_late']:,}", f"{at:%Y-%m-%d %H:%M:%S}")
    print_rich(table)
    for line in partial_lines(pipeline, publications(environment, pipeline)):
        typer.echo(line)


def _show_interval(pipeline: Pipeline, interval: str, as_json: bool) -> None:
    from jobs.interval import Interval
    from millrace.cli.shared import connected
    from millrace.lake.declared import declared
    from millrace.lake.late import late_events
    from millrace.lake.serving import served_version

    each = Interval.parse(interval, pipeline.interval)
    environment = connected().environment
    version = served_version(environment, pipeline)
    dropped = late_events(environment, declared(environment, pipeline, version), each, version)
    if dropped is None:
        raise MillraceError(
            f"pipeline {pipeline.name!r}: version {version} of its speed layer has never run, so it dropped nothing;"
            f" the result of another version's newest run says what that dropped: millrace explain {pipeline.name}"
            f" {each.id} --version VERSION"
        )
    if as_json:
        batches, otherwise = list(dropped.micro_batches.items()), dropped.read_otherwise
        print_json({"interval": each.id, **dropped.to_json(), "micro_batches": batches, "read_otherwise": otherwise})
        return
    table = plain_table()
    table.add_column("window")
    table.add_column("late events", justify="right")
    for start, events in dropped.windows.items():
        table.add_row(f"{start:%Y-%m-%d %H:%M:%S}", f"{events:,}")
    if dropped.windows:
        print_rich(table)
    by = f", dropped by {len(dropped.micro_batches):,} micro-batches" if dropped.events else ""
    typer.echo(f"{pipeline.name} {each.id}: {dropped.events:,} late events in {len(dropped.windows):,} windows{by}")
    if dropped.read_otherwise:
        typer.echo(
            f"{dropped.read_otherwise:,} records of its days were archived by another decoder than that of version"
            f" {version}, or by one that nobody noted, and are counted as that read them;"
            " a reprocess decodes them anew and counts exactly:"
            f" `millrace reprocess {pipeline.name} {each.id}`, then `millrace explain {pipeline.name} {each.id}`"
        )

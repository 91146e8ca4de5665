"""`millrace view`: a pipeline's serving view, with the layer of each row."""

from __future__ import annotations

import sys
from collections.abc import Collection
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import UsageError
from millrace.cli.shared import Json, moment, plain_table, print_json, print_rich

if TYPE_CHECKING:
    import pyarrow as pa
    from rich.table import Table

    from jobs.pipeline import Pipeline
    from millrace.environment import Environment

__all__ = ["register"]

_SHOWN = 20

EXAMPLES = """Examples:\n
millrace view stock_high_low — the newest rows, and which intervals each layer serves\n
millrace view stock_high_low --start 2026-11-20 --end 2026-11-21 --csv > day.csv — one day, all rows\n
millrace view stock_high_low --intervals — each interval: layer, rows, parity, late events, partial or not, run\n
millrace view stock_high_low --intervals --json — the same, with the late events of each window\n
"""

Start = Annotated[str | None, typer.Option(help="Rows at or after this time (UTC): 2026-11-20, 2026-11-20T14:30.")]
End = Annotated[str | None, typer.Option(help="Rows before this time (UTC).")]
Limit = Annotated[int | None, typer.Option(min=1, help="The newest N rows; default: 20 in a table, else all.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(view)


def view(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    start: Start = None,
    end: End = None,
    limit: Limit = None,
    intervals: Annotated[bool, typer.Option("--intervals", help="The intervals instead of the rows.")] = False,
    as_json: Json = False,
    as_csv: Annotated[bool, typer.Option("--csv", help="Print CSV.")] = False,
) -> None:
    """Show the serving view: batch rows of published intervals, speed rows of the others."""
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.lake.declared import declared_served
    from millrace.lake.served import served_intervals
    from millrace.lake.view import read_view

    if as_json and as_csv:
        raise UsageError("--json and --csv are both given; the output has one form; leave one out")
    found, since, before = find_pipeline(pipeline), moment("--start", start), moment("--end", end)
    environment = connected().environment
    rows = read_view(environment, found, since, before)
    if intervals:
        _show_intervals(served_intervals(environment, found, rows), found, as_json, as_csv)
    elif as_json or as_csv:
        _show(newest(rows, declared_served(environment, found), limit).to_pylist(), as_json, as_csv)
    else:
        _show_table(rows, declared_served(environment, found), limit or _SHOWN)
        _show_published(environment, found)


def newest(rows: pa.Table, pipeline: Pipeline, limit: int | None) -> pa.Table:
    """The `limit` rows with the greatest `row_time`, newest first; all in their own order without a limit."""
    if limit is None or not rows.num_rows:
        return rows
    order = [(pipeline.row_time, "descending"), *((name, "ascending") for name in pipeline.key)]
    return rows.sort_by(order).slice(0, limit)


def row_table(rows: pa.Table, title: str | None = None) -> Table:
    """Any rows as a table for people: numbers to the right, times in UTC without their zone."""
    import pyarrow as pa

    table = plain_table(title)
    for field in rows.schema:
        is_number = any(test(field.type) for test in (pa.types.is_integer, pa.types.is_decimal, pa.types.is_floating))
        table.add_column(field.name, justify="right" if is_number else "left", no_wrap=True)
    for row in rows.to_pylist():
        table.add_row(*(_cell(value) for value in row.values()))
    return table


def served_line(rows: pa.Table) -> str:
    """Which intervals each layer serves, and which are partial, in one line."""
    layers: dict[str, set[str]] = {"batch": set(), "speed": set()}
    partial = set()
    for row in rows.select(["_interval", "_layer", "_partial"]).to_pylist():
        layers[row["_layer"]].add(row["_interval"])
        partial |= {row["_interval"]} if row["_partial"] else set()
    return "; ".join(
        f"{len(found)} served by {layer}{_listed(found, partial & found)}" for layer, found in layers.items()
    )


def _show_table(rows: pa.Table, pipeline: Pipeline, limit: int) -> None:
    if not rows.num_rows:
        typer.echo(f"{pipeline.name}: no rows yet; is its speed layer running (`millrace status`)?")
        return
    shown = newest(rows, pipeline, limit)
    print_rich(row_table(shown))
    typer.echo(f"{shown.num_rows:,} of {rows.num_rows:,} rows, newest first; intervals: {served_line(rows)}")


def _show_intervals(rows: list[dict[str, Any]], pipeline: Pipeline, as_json: bool, as_csv: bool) -> None:
    """People read the reasons of partial ones below the table; the late events of each window are JSON's alone."""
    if as_json:
        print_json(rows)
        return
    flat = [_without(row, "late_by_window", "late_windows_cut") for row in rows]
    if as_csv:
        _write_csv(flat)
        return
    _show([_without(row, "why_partial", "late_windows") for row in flat], False, False)
    for row in rows:
        if row["partial"]:
            typer.echo(f"{pipeline.name} {row['interval']} is partial: {row['why_partial']}")


def _without(row: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in row.items() if name not in names}


def _show_published(environment: Environment, pipeline: Pipeline) -> None:
    """Lines where published intervals are partial, or late events reached them, whatever of the view is shown."""
    from millrace.lake.partial import partial_lines
    from millrace.lake.pending_late import pending_late
    from millrace.lake.published import publications

    published = publications(environment, pipeline)
    for line in partial_lines(pipeline, published):
        typer.echo(line)
    counts = pending_late(environment, pipeline, published)
    late = {interval: count for interval, count in counts.items() if count > 0}
    if late:
        where = f"{len(late)} published intervals{_listed(late, ())}"
        repair = f"`millrace repair {pipeline.name}` reprocesses them"
        typer.echo(f"{sum(late.values()):,} pending late events in {where}; {repair}")


def _show(rows: list[dict[str, Any]], as_json: bool, as_csv: bool) -> None:
    if as_json:
        print_json(rows)
    elif as_csv:
        _write_csv(rows)
    else:
        table = plain_table()
        for name in rows[0] if rows else ("no intervals yet",):
            table.add_column(name, no_wrap=True)
        for row in rows:
            table.add_row(*(_cell(value) for value in row.values()))
        print_rich(table)


def _write_csv(rows: list[dict[str, Any]]) -> None:
    import csv

    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(rows[0] if rows else [])
    writer.writerows([_exact(value) for value in row.values()] for row in rows)


def _exact(value: Any) -> Any:
    return value.isoformat() if isinstance(value, datetime) else value


def _cell(value: Any) -> str:
    if isinstance(value, datetime):
        return value.strftime("%Y-%m-%d %H:%M:%S")
    if isinstance(value, int) and not isinstance(value, bool):
        return f"{value:,}"
    return "" if value is None else str(value)


def _listed(intervals: Collection[str], partial: Collection[str]) -> str:
    """In brackets: the first and the last of the intervals, and all that are partial."""
    if not intervals:
        return ""
    found = [" to ".join(sorted({min(intervals), max(intervals)}))]
    found += [f"{len(partial)} partial: {', '.join(sorted(partial))}"] if partial else []
    return f" ({'; '.join(found)})"

"""`millrace explain`: why batch and speed differ, down to the raw records."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import UsageError
from millrace.cli.shared import Json, Version, chosen_version, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from millrace.lake.explain import Explanation, Record

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace explain stock_high_low 2026-11-20 — what differs in the newest run of the interval, and why\n
millrace explain stock_high_low 2026-11-20 --version here — of the code here, before it is served\n
millrace explain stock_high_low 2026-11-20 symbol=AAPL window_start=2026-11-20T14:30 — the raw records of one key\n
"""

Key = Annotated[list[str] | None, typer.Argument(help="Every key column as column=value; none: all differences.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(explain)


def explain(
    pipeline: Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")],
    interval: Annotated[str, typer.Argument(help="The interval's start: 2026-11-20 or 20261120T000000Z.")],
    key: Key = None,
    version: Version = None,
    as_json: Json = False,
) -> None:
    """Show what the newest run of an interval has that the speed layer has not, and the events behind one key.

    By default that of the served version, or, where it has not run the interval, of the version that was before it.
    """
    from jobs.interval import Interval
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.lake import explain as lake
    from millrace.tasks.parity_table import parity_lines

    found = find_pipeline(pipeline)
    each = Interval.parse(interval, found.interval)
    connection = connected()
    environment, chosen = connection.environment, chosen_version(connection, found, version) if version else None
    if key:
        explanation = lake.explain(environment, found, each, dict(map(_column, key)), chosen)
        print_json(asdict(explanation)) if as_json else _show(explanation, found.name, each.id)
        return
    result = lake.newest_result(environment, found, each, chosen)
    if as_json:
        print_json(result)
        return
    published, partial = lake.publication_state(environment, found, each, result)
    for line in [*parity_lines(found.name, each.id, result, partial), _run_line(result, published)]:
        typer.echo(line)


def _column(text: str) -> tuple[str, str]:
    name, sign, value = text.partition("=")
    if not sign:
        raise UsageError(f"key column {text!r} has no value; write it as {text}=value")
    return name, value


def _run_line(result: Mapping[str, Any], published: bool) -> str:
    at = result.get("began_at")
    began = f", began on {_seconds(at)} UTC" if at else ""
    return f"run {result['run']}, version {result['version']}{began}: {'published' if published else 'not published'}"


def _show(explanation: Explanation, pipeline: str, interval: str) -> None:
    """The answers, the records behind them, and last the cause: where a person looks first."""
    rows = plain_table()
    columns = list(explanation.batch or explanation.speed or {})
    for name in ("layer", *columns):
        rows.add_column(name, no_wrap=True)
    for layer, row in (("batch", explanation.batch), ("speed", explanation.speed)):
        rows.add_row(layer, *(_cell(row[name]) if row else "-" for name in columns))
    records = plain_table(
        f"{len(explanation.records)} raw records; {_run_line(asdict(explanation), explanation.published)}"
    )
    for name in (
        "partition",
        "offset",
        "event",
        "Kafka time",
        "archived",
        "batch",
        "speed",
        "micro-batch",
        "watermark",
    ):
        records.add_column(name)
    for record in explanation.records:
        records.add_row(*_record(record))
    print_rich(rows, records)
    if explanation.read_otherwise:
        typer.echo(
            f"{explanation.read_otherwise:,} records of these days were archived by another decoder than version"
            f" {explanation.version}'s, or by one that nobody noted: records above are as that read them,"
            " both layers' rows as the version does."
        )
    if explanation.partial:
        typer.echo(f"{pipeline} {interval} is partial: {'; '.join(explanation.partial)}")
    typer.echo(f"cause: {explanation.cause or 'none'}")
    typer.echo(explanation.why)


def _record(record: Record) -> list[str]:
    read = record.read
    return [
        str(record.partition),
        str(record.offset),
        ", ".join(f"{name}={_cell(value)}" for name, value in record.event.items()),
        _cell(record.timestamp),
        _cell(record.archived_at),
        record.batch,
        record.speed,
        f"{read.batch_id} at {_seconds(read.timestamp)}" if read else "-",
        _cell(read.late_watermark) if read and read.late_watermark else "-",
    ]


def _seconds(moment: str) -> str:
    """Of ISO 8601, in UTC, as the cells have times."""
    return moment[:19].replace("T", " ")


def _cell(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)

"""`millrace ledger`: what the raw archive holds of a topic, and what every gap is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from millrace.cli.shared import Json, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from rich.table import Table

    from millrace.lake.ledger import Entry, LedgerReport

__all__ = ["register"]

_SHOWN = 10
_ACCEPTED = 3

EXAMPLES = """Examples:\n
millrace ledger stock_ticks — archived offsets, gaps and what each is, lag to Kafka's end\n
millrace ledger stock_ticks --json — every range, for scripts\n
millrace ledger stock_ticks && echo complete — exit code 0: nothing is lost or doubled; 3: nothing but what somebody
accepted as lost (`millrace accept-loss`); 1: something else is, or nobody knows, as Kafka could not be asked
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(ledger)


def ledger(topic: Annotated[str, typer.Argument(help="A topic of jobs/topics.py.")], as_json: Json = False) -> None:
    """Account for every offset of a topic: archived, or a gap and what it is. Exits with 1 or 3 unless complete."""
    from jobs.topics import find_topic
    from millrace.cli.shared import connected
    from millrace.lake.ledger import update_ledger

    found = find_topic(topic)
    report = update_ledger(connected().environment, found.name)
    if as_json:
        print_json(content(report))
    else:
        _show(report)
    if not report.is_complete:
        raise typer.Exit(_ACCEPTED if report.is_accounted_for else 1)


def content(report: LedgerReport) -> dict[str, Any]:
    """The report as JSON holds it; with a `problem`, Kafka could not be asked, and nothing is known to be complete."""
    from millrace.lake.ledger.entries import Kind

    ledger = report.ledger
    return {
        "topic": ledger.topic,
        "complete": report.is_complete,
        "accounted_for": report.is_accounted_for,
        "raw_version": ledger.source.raw_version,
        "problem": report.problem or None,
        "partitions": [
            {
                "partition": partition,
                "archived": ledger.ranges(partition, Kind.ARCHIVED),
                "folded": [_gap(entry) for entry in ledger.of(partition, {Kind.FOLDED})],
                "records": ledger.records(partition),
                "doubled": ledger.ranges(partition, Kind.DOUBLED),
                "coverage": ledger.source.coverage.get(partition, 0),
                "lag": report.lag(partition),
                "gaps": [_gap(entry) for entry in ledger.gaps(partition)],
            }
            for partition in report.partitions
        ],
    }


def _gap(entry: Entry) -> dict[str, Any]:
    names = ("kind", "start", "end", "records", "found_at", "detail")
    return {name: getattr(entry, name) for name in names} | {"harmless": entry.is_harmless}


def _show(report: LedgerReport) -> None:
    from millrace.lake.ledger.entries import Kind

    ledger = report.ledger
    print_rich(_partitions(report))
    entries = [entry for entry in ledger.entries if entry.kind != Kind.ARCHIVED]
    worst_first = sorted(entries, key=lambda entry: entry.is_harmless)
    if entries:
        print_rich(_gaps(worst_first[:_SHOWN]))
    if len(entries) > _SHOWN:
        typer.echo(f"{_SHOWN} of {len(entries):,} gaps, losses first; --json has all")
    if report.problem:
        typer.echo(f"Kafka could not be asked: {report.problem}")
    typer.echo(f"{ledger.topic}: {_verdict(report)} (raw archive version {ledger.source.raw_version})")


def _partitions(report: LedgerReport) -> Table:
    table = plain_table()
    for name in ("partition", "archived", "ranges", "records", "gaps", "lag"):
        table.add_column(name, justify="left" if name == "archived" else "right", no_wrap=True)
    for partition in report.partitions:
        ranges, lag = report.ledger.covered(partition), report.lag(partition)
        table.add_row(
            str(partition),
            _range(ranges[0][0], ranges[-1][1]) if ranges else "nothing",
            f"{len(ranges):,}",
            f"{report.ledger.records(partition):,}",
            f"{len(report.ledger.gaps(partition)):,}",
            "?" if lag is None else f"{lag:,}",
        )
    return table


def _gaps(entries: list[Entry]) -> Table:
    table = plain_table()
    for name in ("partition", "offsets", "what it is", "records", "found at", ""):
        table.add_column(name, justify="right" if name in ("partition", "records") else "left", no_wrap=True)
    for entry in entries:
        table.add_row(
            str(entry.partition),
            _range(entry.start, entry.end),
            entry.kind,
            "?" if entry.records is None else f"{entry.records:,}",
            f"{entry.found_at:%Y-%m-%d %H:%M:%S}",
            _remark(entry),
        )
    return table


def _remark(entry: Entry) -> str:
    from millrace.lake.ledger.entries import Kind

    if entry.kind == Kind.FOLDED:
        return ", ".join(f"{count:,} {name}" for name, count in entry.detail.items())
    if entry.kind == Kind.ACCEPTED:
        return f"by {entry.detail['who']} at {entry.detail['when'][:16]}: {entry.detail['reason']}"
    return "" if entry.is_harmless else "not complete"


def _range(start: int, end: int) -> str:
    """The last offset included, as people read it; a mark has none."""
    return f"from {start:,}" if start == end else f"{start:,} to {end - 1:,}"


def _verdict(report: LedgerReport) -> str:
    if report.is_complete:
        return "complete: every offset below the archive's coverage is archived or explained"
    if report.is_accounted_for:
        return "not complete, but accounted for: every offset is archived, explained or accepted as lost"
    if report.ledger.is_accounted_for:
        return "not known whether anything is lost, because Kafka could not be asked"
    kinds = sorted({entry.kind for entry in report.ledger.entries if not entry.is_harmless})
    return f"not complete: {', '.join(kinds)}"

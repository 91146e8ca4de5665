"""`millrace versions` and `millrace compare`: the versions of a pipeline, and what two of them answer."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millrace.cli.shared import Json, moment, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millrace.lake.serving import Serving
    from millrace.lake.versions import VersionState

__all__ = ["register"]

VERSIONS_EXAMPLES = """Examples:\n
millrace versions stock_high_low — what is served, what else there is, and every switch\n
millrace versions stock_high_low --json\n
"""
COMPARE_EXAMPLES = """Examples:\n
millrace compare stock_high_low 1f0c2a9be7d4 83b1d5f60a2c — every interval that both versions answer\n
millrace compare stock_high_low 1f0c2a9be7d4 83b1d5f60a2c --start 2026-11-20 --json\n
"""

Pipe = Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")]
Start = Annotated[str | None, typer.Option(help="Intervals that begin at or after this time (UTC): 2026-11-20.")]
End = Annotated[str | None, typer.Option(help="Intervals that begin before this time (UTC).")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(epilog=VERSIONS_EXAMPLES)(versions)
    app.command(epilog=COMPARE_EXAMPLES)(compare)


def versions(pipeline: Pipe, as_json: Json = False) -> None:
    """Show the versions of a pipeline: the code's, the served one, what each has, and the history of switches."""
    from jobs.pipelines import find_pipeline
    from jobs.version import fingerprint
    from millrace.cli.shared import connected
    from millrace.lake.serving import serving_history
    from millrace.lake.versions import version_states

    found, environment = find_pipeline(pipeline), connected().environment
    code, history = fingerprint(found), serving_history(environment, found)
    states = version_states(environment, found)
    if as_json:
        served = history[-1].versions if history else ()
        rows = [{**asdict(state), "served": state.version == states[0].version} for state in states]
        switches = [asdict(row) for row in history]
        print_json({"pipeline": found.name, "code": code, "order": served, "versions": rows, "history": switches})
        return
    print_rich(_state_table(states, code, bool(history)), *([_history_table(history)] if history else []))
    if code not in {state.version for state in states}:
        typer.echo(f"the code's version {code} has left nothing yet")


def compare(
    pipeline: Pipe,
    version_a: Annotated[str, typer.Argument(help="A version: see `millrace versions`.")],
    version_b: Annotated[str, typer.Argument(help="The version to compare it with.")],
    start: Start = None,
    end: End = None,
    worst: Annotated[int, typer.Option(min=0, max=1000, help="Keys to list per interval that differs.")] = 3,
    as_json: Json = False,
) -> None:
    """Compare what two versions answer, row by row: published runs, and the newest speed rows of other intervals.

    Of an interval that has not ended, both streams are somewhere in the middle: it may differ for that alone.
    """
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.lake.compare_versions import compare_versions
    from millrace.lake.versions import check_known
    from millrace.tasks.comparison_table import comparison_lines

    found, since, before = find_pipeline(pipeline), moment("--start", start), moment("--end", end)
    environment = connected().environment
    check_known(environment, found, version_a, version_b)
    compared = compare_versions(environment, found, version_a, version_b, since, before, worst)
    if as_json:
        print_json({"pipeline": found.name, **asdict(compared), "is_equal": compared.is_equal})
    else:
        typer.echo("\n".join(comparison_lines(found.name, compared)))


def _state_table(states: Sequence[VersionState], code: str, has_begun: bool) -> Any:
    table = plain_table()
    for name in ("version", "is", "published intervals", "speed intervals"):
        table.add_column(name)
    for name in ("micro-batch", "records read"):
        table.add_column(name, justify="right")
    for place, state in enumerate(states):
        marks = ["served"] if place == 0 and has_begun else []
        marks += ["the code's"] if state.version == code else []
        counts = ("" if count is None else f"{count:,}" for count in (state.micro_batch, state.processed))
        table.add_row(
            state.version, ", ".join(marks), _span(state.published, state.partial), _span(state.speed), *counts
        )
    return table


def _history_table(history: Sequence[Serving]) -> Any:
    table = plain_table("switches")
    for name in ("since", "served", "then", "by", "reason"):
        table.add_column(name)
    for row in reversed(history):
        table.add_row(f"{row.since:%Y-%m-%d %H:%M:%S}", row.version, ", ".join(row.versions[1:]), row.by, row.reason)
    return table


def _span(intervals: Sequence[str], partial: Sequence[str] = ()) -> str:
    """How many, the first and the last, and how many of them are partial."""
    told = f"; {len(partial):,} partial" if partial else ""
    return f"{len(intervals):,} ({intervals[0]} to {intervals[-1]}{told})" if intervals else "0"

"""`millrace dead-letters` and `millrace redecode`: the records that could not be decoded, and their second chance."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import Json, moment, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from rich.table import Table

    from millrace.lake.dead_letters import Reason
    from millrace.supervision.connection import Connection

__all__ = ["register"]

_PREVIEW = 60

INSPECT_EXAMPLES = """Examples:\n
millrace dead-letters stock_ticks — how many for each reason, and the newest\n
millrace dead-letters stock_ticks --reason "wrong type" --since 2026-11-20 --limit 100\n
millrace dead-letters stock_ticks --export dead.jsonl — all of them, their bytes in base64\n
"""
REDECODE_EXAMPLES = """Examples:\n
millrace redecode stock_ticks — after the topic's declaration or its decoder was corrected\n
millrace redecode stock_ticks --json — what moved into which days, for scripts\n
"""

Topic = Annotated[str, typer.Argument(help="A topic of jobs/topics.py.")]
Reason_ = Annotated[str | None, typer.Option("--reason", help="Those whose error begins with this.")]
Since = Annotated[str | None, typer.Option(help="Kafka timestamp at or after this time (UTC): 2026-11-20.")]
Until = Annotated[str | None, typer.Option(help="Kafka timestamp before this time (UTC).")]
Limit = Annotated[int, typer.Option(min=0, help="Show the newest N.")]
Export = Annotated[Path | None, typer.Option(help="Write all to this new file, as lines of JSON.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command("dead-letters", epilog=INSPECT_EXAMPLES)(dead_letters)
    app.command(epilog=REDECODE_EXAMPLES)(redecode)


def dead_letters(
    topic: Topic,
    reason: Reason_ = None,
    since: Since = None,
    until: Until = None,
    limit: Limit = 20,
    export: Export = None,
    as_json: Json = False,
) -> None:
    """Show the records of a topic that could not be decoded: how many for each reason, and the newest."""
    from jobs.topics import find_topic
    from millrace.cli.shared import connected
    from millrace.lake.dead_letters import open_dead_letters

    found, bounds = find_topic(topic), (moment("--since", since), moment("--until", until))
    letters = open_dead_letters(connected().environment, found, reason, *bounds)
    reasons = letters.reasons()
    newest = [_shown(row) for row in letters.newest(limit)]
    exported = letters.export(export) if export else None
    total = sum(each.count for each in reasons)
    if as_json:
        counts = {each.reason: each.count for each in reasons}
        content = {"topic": found.name, "total": total, "reasons": counts, "dead_letters": newest}
        print_json(content if exported is None else {**content, "exported": exported})
        return
    if reasons:
        print_rich(_reason_table(reasons), _letter_table(newest))
    matching = f"{total:,} dead letters" + (" match" if reason or since or until else "")
    typer.echo(f"{found.name}: {matching}" + ("" if exported is None else f"; {exported:,} written to {export}"))


def redecode(
    topic: Topic,
    verbose: Annotated[bool, typer.Option("--verbose", help="Show the driver's log on stderr.")] = False,
    as_json: Json = False,
) -> None:
    """Decode a topic's dead letters again, and move those that now decode into their days.

    The nightly run repairs published intervals that get events so, as far back as it looks; of the others it is said
    how to repair them.
    """
    from jobs.topics import find_topic
    from millrace.cli.shared import connected
    from millrace.lake.beyond_look_back import beyond_look_back, lines_beyond, within_days

    found, connection, now = find_topic(topic), connected(), datetime.now(UTC)
    result = _redecode(connection, found.name, verbose)
    beyond = beyond_look_back(connection.environment, found.name, result["days"], now)
    if as_json:
        ids = {name: [each.id for each in intervals] for name, intervals in beyond.items()}
        reach = {name: within_days(intervals, now) for name, intervals in beyond.items()}
        print_json(
            {**result, "beyond_look_back": {name: {"intervals": ids[name], "within": reach[name]} for name in ids}}
        )
        return
    counts = f"{result['examined']:,} dead letters examined, {result['moved']:,} moved into their days"
    changed = f", {result['changed_reason']:,} of them for another reason" if result["changed_reason"] else ""
    typer.echo(f"{topic}: {counts}, {result['still_dead']:,} still dead{changed}")
    for day, count in result["days"].items():
        typer.echo(f"  {day}: {count:,}")
    for line in lines_beyond(beyond, now):
        typer.echo(line)


def _redecode(connection: Connection, topic: str, verbose: bool) -> dict[str, Any]:
    from jobs.lake import Lake, redecode_query
    from millrace.builders.redecode_job import redecode_job
    from millrace.cli.follow import owner_token, run_to_end

    run = owner_token("redecode")
    run_to_end(connection.platform, redecode_job(topic, connection.environment, run), verbose)
    result = connection.notes.read_json(Lake("").run_result(redecode_query(topic), run))
    if result is None:
        raise MillraceError(f"run {run!r} of {redecode_query(topic)!r} left no result on the lake; run it again")
    return result


def _shown(row: dict[str, Any]) -> dict[str, Any]:
    names = ("partition", "offset", "timestamp", "error")
    return {**{name: row[name] for name in names}, "preview": _preview(row["value"])}


def _preview(value: bytes | None) -> str | None:
    """The beginning of the bytes as text that does no harm to a terminal; None for a null value."""
    if value is None:
        return None
    text = value[: 4 * _PREVIEW].decode("utf-8", "replace")
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode("ascii") for c in text)
    return shown if len(shown) <= _PREVIEW and len(value) <= 4 * _PREVIEW else shown[: _PREVIEW - 1] + "…"


def _reason_table(reasons: list[Reason]) -> Table:
    from rich.text import Text

    table = plain_table("By reason")
    for name in ("reason", "count", "first (Kafka timestamp)", "last"):
        table.add_column(name, justify="right" if name == "count" else "left", no_wrap=True)
    for each in reasons:
        table.add_row(Text(each.reason), f"{each.count:,}", f"{each.first:%Y-%m-%d %H:%M:%S}", f"{each.last:%F %T}")
    return table


def _letter_table(newest: list[dict[str, Any]]) -> Table:
    from rich.text import Text

    table = plain_table("Newest")
    for name in ("partition", "offset", "timestamp", "error", "value"):
        table.add_column(name, justify="right" if name in ("partition", "offset") else "left", overflow="fold")
    for row in newest:
        preview = "null" if row["preview"] is None else row["preview"]
        place = (str(row["partition"]), str(row["offset"]), f"{row['timestamp']:%Y-%m-%d %H:%M:%S}")
        table.add_row(*place, Text(row["error"]), Text(preview))  # as text: what looks like markup is shown
    return table

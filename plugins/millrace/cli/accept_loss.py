"""`millrace accept-loss`: go on without records that Kafka has lost, and say so for ever."""

from __future__ import annotations

import getpass
import socket
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import UsageError
from millrace.cli.shared import Json, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from rich.table import Table

    from jobs.accepted_losses import AcceptedLoss
    from millrace.lake.lost_offsets import LostOffsets

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace accept-loss stock_ticks --dry-run — which offsets each stream cannot read any more; changes nothing\n
millrace accept-loss stock_ticks --reason "retention was 1 day, the cluster was down for 2" — shows it, and asks\n
millrace accept-loss stock_ticks --yes --reason "INC-1234" --json — for scripts
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("accept-loss", epilog=EXAMPLES)(accept_loss)


def accept_loss(
    topic: Annotated[str, typer.Argument(help="A topic of jobs/topics.py.")],
    reason: Annotated[str, typer.Option(help="Why; the ledger keeps it.")] = "",
    yes: Annotated[bool, typer.Option("--yes", help="Do not ask.")] = False,
    version: Annotated[
        list[str] | None,
        typer.Option(help="A version, neither served nor the code's, whose stream is to go on too. May be repeated."),
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show what is lost.")] = False,
    as_json: Json = False,
) -> None:
    """Accept that offsets of a topic are lost, so that the streams that stopped for it can go on.

    Exactly the offsets that are shown are given up; the ledger keeps who accepted that, when and why, and every
    interval that a lost record may belong to is published as partial from then on, for ever.
    """
    from jobs.topics import find_topic
    from millrace.cli.shared import connected
    from millrace.lake import accepted_loss
    from millrace.lake.lost_offsets import find_lost

    found, environment = find_topic(topic), connected().environment
    lost = find_lost(environment, found, version or ())
    if not as_json:
        show(lost)
    loss = None
    if lost and not dry_run:
        loss = accepted_loss.accept_loss(environment, lost, who(), _agreed(reason, yes, as_json))
    if as_json:
        print_json(content(lost, loss))
    elif loss:
        typer.echo(f"accepted by {loss.who}; start the streams again: clear their tasks, or `millrace archive {topic}`")


def who() -> str:
    """The person at this machine."""
    return f"{getpass.getuser()}@{socket.gethostname()}"


def content(lost: LostOffsets, loss: AcceptedLoss | None) -> dict[str, Any]:
    """As JSON holds it."""
    return {
        "topic": lost.topic,
        "kafka": lost.held.partitions,
        "streams": lost.streams,
        "lost": [vars(each) for each in lost.ranges],
        "accepted": loss.to_json() if loss else None,
    }


def show(lost: LostOffsets) -> None:
    if not lost:
        typer.echo(f"{lost.topic}: nothing is lost that is not accepted already: every stream can go on")
        return
    print_rich(_streams(lost))
    if lost.ranges:
        print_rich(_ranges(lost))
    else:
        typer.echo(
            "the archive has all of it: what is published stays whole; the streams above skip it, and their rows of"
            " intervals that may lack it are partial until those are published"
        )


def _agreed(reason: str, yes: bool, as_json: bool) -> str:
    """The reason. Raises UsageError where it is missing and nobody can be asked; Abort where the answer is no."""
    if yes or as_json:
        if not (yes and reason):
            raise UsageError("accepting a loss without being asked needs --yes and --reason")
        return reason
    reason = reason or typer.prompt("Reason, for the ledger")
    typer.confirm("Give these offsets up for ever?", abort=True)
    return reason


def _streams(lost: LostOffsets) -> Table:
    table = plain_table("what streams cannot read any more")
    for name in ("stream", "partition", "offsets", "number", "Kafka holds"):
        table.add_column(name, justify="left" if name in ("stream", "offsets") else "right", no_wrap=True)
    for stream, skips in sorted(lost.streams.items()):
        for partition, (start, end) in sorted(skips.items()):
            first, after = lost.held.partitions[partition]
            holds = f"{first:,} to {after - 1:,}" if first < after else "nothing"
            table.add_row(
                stream.partition("/")[2], str(partition), f"{start:,} to {end - 1:,}", f"{end - start:,}", holds
            )
    return table


def _ranges(lost: LostOffsets) -> Table:
    table = plain_table("what is in no archive, and which intervals are partial for it")
    for name in ("partition", "offsets", "what it is", "intervals that end from", "and begin until"):
        table.add_column(name, no_wrap=True)
    for each in lost.ranges:
        since = f"{each.touches_from:%Y-%m-%d %H:%M:%S}" if each.touches_from else "ever"
        offsets = f"{each.start:,} to {each.end - 1:,}"
        table.add_row(str(each.partition), offsets, each.kind, since, f"{each.touches_to:%Y-%m-%d %H:%M:%S}")
    return table

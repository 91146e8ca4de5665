"""What several commands share: the declared things by name, a connection that answers, and how results are shown."""

from __future__ import annotations

import json
from datetime import datetime
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import MillraceError
from millrace.moments import parse_moment

if TYPE_CHECKING:
    from rich.table import Table

    from jobs.pipeline import Pipeline
    from millrace.supervision.connection import Connection

__all__ = ["Json", "Version", "chosen_version", "connected", "moment", "plain_table", "print_json", "print_rich"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]

Version = Annotated[
    str | None, typer.Option("--version", help="A version: its fingerprint, or `here`, the code here. Default: served.")
]


def chosen_version(connection: Connection, pipeline: Pipeline, version: str | None) -> str:
    """What the option says: a fingerprint, `here`, or by default the served version."""
    from jobs.version import fingerprint
    from millrace.lake.serving import served_version

    if version is None:
        return served_version(connection.environment, pipeline)
    return fingerprint(pipeline) if version == "here" else version


def connected() -> Connection:
    """The current environment; raises MillraceError where Kafka or the lake does not answer."""
    from millrace.environment import load_environment
    from millrace.supervision.connection import connect, unanswered

    environment = load_environment()
    if missing := unanswered(environment):
        raise MillraceError(f"{missing}, or `millrace up`" if environment.platform == "local" else missing)
    return connect(environment.name)


def moment(option: str, text: str | None) -> datetime | None:
    """What an option's text says, as UTC; None without one. Raises UsageError, which names the option."""
    return None if text is None else parse_moment(option, text)


def print_json(content: Any) -> None:
    """As JSON on stdout; what JSON does not know (decimals, times) as text."""
    typer.echo(json.dumps(content, default=_text))


def plain_table(title: str | None = None) -> Table:
    """An empty table in the style of this command line."""
    from rich import box
    from rich.table import Table

    return Table(title=title, title_justify="left", title_style="bold", box=box.SIMPLE_HEAD, pad_edge=False)


def print_rich(*things: Any) -> None:
    """On stdout, in colour on a terminal; wide enough not to cut cells elsewhere."""
    from rich.console import Console

    console = Console(highlight=False)
    if not console.is_terminal:
        console = Console(highlight=False, width=200)
    for thing in things:
        console.print(thing)


def _text(value: Any) -> str:
    return value.isoformat() if hasattr(value, "isoformat") else str(value)

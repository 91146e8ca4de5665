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

    from millrace.supervision.connection import Connection

__all__ = ["Json", "connected", "moment", "plain_table", "print_json", "print_rich"]

Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def connected() -> Connection:
    """The current environment; raises MillraceError where Kafka or the lake does not answer."""
    from millrace.environment import load_environment
    from millrace.supervision.connection import connect, unreachable

    name = load_environment().name
    if missing := unreachable(name):
        raise MillraceError(f"{missing}, or `millrace up`")
    return connect(name)


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

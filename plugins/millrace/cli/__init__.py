"""The command line `millrace`."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import typer

from jobs.errors import DeclarationError, MillraceError, UsageError
from millrace.cli import (
    accept_loss,
    azure,
    batch,
    data,
    dead_letters,
    demo,
    explain,
    late,
    ledger,
    maintain,
    pipelines,
    repair,
    replicate,
    stack,
    streams,
    switch,
    versions,
    view,
)

__all__ = ["app", "main"]

app = typer.Typer(
    name="millrace",
    help="A lambda-architecture pipeline that proves its answers: Kafka, Spark, Airflow, Azure Storage.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for group in (
    demo,
    stack,
    data,
    streams,
    replicate,
    batch,
    repair,
    view,
    versions,
    switch,
    explain,
    late,
    dead_letters,
    ledger,
    accept_loss,
    maintain,
    pipelines,
    azure,
):
    group.register(app)


def main(arguments: Sequence[str] | None = None) -> None:
    """Run one command, by default that of this process's arguments, and exit.

    Exit codes: 0 done; 1 what Millrace refuses or could not do, in one line on stderr; 2 wrong usage; 130 Ctrl-C.
    """
    try:
        app(args=list(arguments) if arguments is not None else None, prog_name="millrace")
    except MillraceError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(2 if isinstance(error, (UsageError, DeclarationError)) else 1)
    except KeyboardInterrupt:
        sys.exit(130)

"""`millrace demo`: everything at work, through Airflow."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace demo — start it, look around in Airflow's UI, end it with Ctrl-C; the data stays for the next time\n
millrace demo --exit-when-done — for scripts: ends by itself, with code 0 only if everything held
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(demo)


def demo(
    exit_when_done: Annotated[
        bool, typer.Option("--exit-when-done", help="Stop everything after the result; exit code 0 if all held.")
    ] = False,
) -> None:
    """Run the whole pipeline on this machine, past days and live, and show that both layers agree."""
    from millrace.demo import run_demo

    raise typer.Exit(run_demo(exit_when_done=exit_when_done))

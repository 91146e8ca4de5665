"""`millrace switch` and `millrace rollback`: which version of a pipeline is served."""

from __future__ import annotations

import getpass
import socket
from dataclasses import asdict
from datetime import timedelta
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from millrace.cli.shared import Json, print_json

if TYPE_CHECKING:
    from jobs.pipeline import Pipeline
    from millrace.environment import Environment
    from millrace.lake.serving import Serving

__all__ = ["register"]

SWITCH_EXAMPLES = """Examples:\n
millrace switch stock_high_low — serve the code's version: shows what changes, and asks\n
millrace switch stock_high_low 83b1d5f60a2c --yes --reason "window of one minute" — for scripts\n
millrace switch stock_high_low --allow-older — what is not backfilled stays served by the older version\n
millrace switch stock_high_low --leave-events — it reads another topic, and is to answer without the old one's events\n
"""
ROLLBACK_EXAMPLES = """Examples:\n
millrace rollback stock_high_low — serve the version of before the last switch: shows what changes, and asks\n
millrace rollback stock_high_low --yes --reason "wrong close"\n
"""

Pipe = Annotated[str, typer.Argument(help="A pipeline of jobs/pipelines.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not compare and ask; for scripts.")]
Reason = Annotated[str, typer.Option(help="Why, for the history.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(epilog=SWITCH_EXAMPLES)(switch)
    app.command(epilog=ROLLBACK_EXAMPLES)(rollback)


def switch(
    pipeline: Pipe,
    version: Annotated[str | None, typer.Argument(help="See `millrace versions`; default: the code's.")] = None,
    allow_older: Annotated[
        bool, typer.Option("--allow-older", help="Leave intervals that it has not published to the older version.")
    ] = False,
    leave_events: Annotated[
        bool, typer.Option("--leave-events", help="Let events leave the view that its topic lacks: it reads another.")
    ] = False,
    look_back: Annotated[
        float | None, typer.Option(min=0, help="Days back that it must have published; default: all.")
    ] = None,
    wait: Annotated[float, typer.Option(min=0, help="Seconds to wait for its speed layer to catch up.")] = 60.0,
    yes: Yes = False,
    reason: Reason = "",
    as_json: Json = False,
) -> None:
    """Serve another version, in one commit, once it has all that is served now."""
    from jobs.pipelines import find_pipeline
    from jobs.version import fingerprint
    from millrace.cli.shared import connected
    from millrace.lake.readiness import check_switch
    from millrace.lake.serving import current_serving
    from millrace.lake.serving import switch as commit

    found, environment = find_pipeline(pipeline), connected().environment
    wanted, now = version or fingerprint(found), current_serving(environment, found)
    if now and now.version == wanted:
        _tell(now, "already", as_json)
        return
    days = None if look_back is None else timedelta(days=look_back)
    allowed = {"allow_older": allow_older, "leave_events": leave_events}
    check = partial(check_switch, environment, found, wanted, wait=timedelta(seconds=wait), look_back=days, **allowed)
    check()
    if not yes and now:
        _ask(environment, found, now.version, wanted)
        check()  # the streams ran on while somebody thought
    expected = now.version if now else None
    _tell(commit(environment, found, wanted, _person(), reason, expected=expected), "from now on", as_json)


def rollback(pipeline: Pipe, yes: Yes = False, reason: Reason = "", as_json: Json = False) -> None:
    """Serve the version of before the last switch again, in one commit; once more: the one before that.

    Whatever that version lacks by now is told, and keeps nothing back. What only the other has published stays served,
    until it is run under that version.
    """
    from jobs.pipelines import find_pipeline
    from millrace.cli.shared import connected
    from millrace.lake.serving import restored, serving_history
    from millrace.lake.serving import rollback as commit

    found, environment = find_pipeline(pipeline), connected().environment
    history = serving_history(environment, found)
    before, expected = restored(history), history[-1].version if history else None
    if before and expected:
        for problem in _problems(environment, found, before.version):
            typer.echo(f"version {before.version}: {problem}", err=True)
        if not yes:
            _ask(environment, found, expected, before.version)
    _tell(commit(environment, found, _person(), reason, expected=expected), "from now on", as_json)


def _problems(environment: Environment, pipeline: Pipeline, version: str) -> list[str]:
    """What the version lacks; that nobody knows it is no reason to stay with a wrong answer either."""
    from millrace.lake.readiness import served_offsets, switch_problems

    try:
        return switch_problems(environment, pipeline, version, served_offsets(environment, pipeline, version))
    except Exception as error:  # noqa: BLE001 - whatever a client of a damaged or silent lake raises
        return [f"what it lacks by now is not known ({type(error).__name__}: {error})"]


def _ask(environment: Environment, pipeline: Pipeline, served: str, wanted: str) -> None:
    """Ends the command with 1 where the answer is no."""
    from millrace.lake.compare_versions import compare_versions
    from millrace.tasks.comparison_table import comparison_lines

    typer.echo("\n".join(comparison_lines(pipeline.name, compare_versions(environment, pipeline, served, wanted))))
    typer.confirm(f"serve {wanted} in place of {served}?", abort=True)


def _tell(serving: Serving, when: str, as_json: bool) -> None:
    if as_json:
        print_json(asdict(serving))
        return
    others = f"; what it has not published, by {', '.join(serving.versions[1:])}" if serving.versions[1:] else ""
    typer.echo(f"{serving.pipeline}: version {serving.version} is served {when}{others}")


def _person() -> str:
    return f"{getpass.getuser()}@{socket.gethostname()}"

"""`millrace up`, `down` and `status`: the processes of this machine."""

from __future__ import annotations

import os
from collections.abc import Iterator
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated, Any

import typer

from jobs.errors import UsageError
from millrace.cli.shared import Json, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from rich.table import Table

__all__ = ["micro_batch", "register"]

UP_EXAMPLES = """Examples:\n
millrace up — Kafka, Azurite and Airflow, on loopback; what runs already is kept\n
millrace up --no-airflow — only Kafka and Azurite, for `millrace archive` and `millrace speed`
"""
DOWN_EXAMPLES = """Examples:\n
millrace down — streams stop after their micro-batch; the data stays, and `millrace up` goes on with it
"""
STATUS_EXAMPLES = """Examples:\n
millrace status — processes, streams with their lag, Spark jobs\n
MILLRACE_ENVIRONMENT=databricks millrace status — the same on a cluster: streams, lag, last errors, where logs are\n
millrace status --json | jq '.streams[] | {query, state, lag}'
"""


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    app.command(epilog=UP_EXAMPLES)(up)
    app.command(epilog=DOWN_EXAMPLES)(down)
    app.command(epilog=STATUS_EXAMPLES)(status)


def up(
    airflow: Annotated[bool, typer.Option(help="Start Airflow too.")] = True,
) -> None:
    """Start the local stack, and wait until all of it answers."""
    from millrace.home import Home
    from millrace.stack import lifecycle

    _check_is_here("up", "that environment is made by the DAG `provision` with platform azure")
    home = Home.current()
    done = lifecycle.up(home, airflow=airflow) + _create_topics(home)
    for line in done or ["everything was up already"]:
        typer.echo(line)
    if airflow:
        typer.echo(f"Airflow: {_airflow_text(home)}")


def down() -> None:
    """Stop all of it: streams, Spark jobs, Airflow, Kafka, Azurite. The data stays."""
    from millrace.home import Home
    from millrace.shutdown import stop_everything

    _check_is_here(
        "down",
        "stop the streams there by marking their tasks in Airflow, or with `millrace archive TOPIC --stop` and"
        " `millrace speed PIPELINE --stop`; the DAG `teardown` deletes that environment",
    )
    for line in stop_everything(Home.current(), "millrace down") or ["nothing was running"]:
        typer.echo(line)


def status(as_json: Json = False) -> None:
    """Show what runs: processes, streams with their lag behind Kafka, Spark jobs."""
    from millrace.cli.status import current_status

    found = current_status()
    if as_json:
        print_json(found)
        return
    is_here = found["platform"] in ("local", None)
    if is_here and not found["processes"] and not found["jobs"]:
        typer.echo("nothing runs; start it with `millrace up`, or see it at work with `millrace demo`")
        return
    parts = (("processes", _processes), ("streams", _streams), ("jobs", _jobs))
    print_rich(*(table(found[name]) for name, table in parts if found[name]))
    for line in _lines(found, is_here):
        typer.echo(line)


def _lines(found: dict[str, Any], is_here: bool) -> Iterator[str]:
    """What is told below the tables."""
    for row in found["streams"]:
        if row["last_error"]:
            yield f"{row['query']}: {row['last_error']}"
        if row["log"]:
            yield f"{row['query']}: its log is {row['log']}"
    if not is_here:
        yield f"environment {found['environment']}: its jobs run on {found['platform']}"
    if found["airflow"]:
        yield f"Airflow: {found['airflow']['url']} ({_health(found['airflow']['health'])})"
    yield from found["restarts"]
    yield from found["versions"]
    yield from found["partial"]
    if found["problem"]:
        yield found["problem"]


def _check_is_here(command: str, instead: str) -> None:
    """Raises UsageError where the environment is not on this machine, and what its file breaks."""
    from millrace.environment import load_environment

    name = os.environ.get("MILLRACE_ENVIRONMENT") or "local"
    if name != "local" and (platform := load_environment(name).platform) != "local":
        raise UsageError(
            f"`millrace {command}` is for the stack on this machine, and MILLRACE_ENVIRONMENT says {name!r}, whose"
            f" platform is {platform}; {instead}; for the local stack, say MILLRACE_ENVIRONMENT=local"
        )


def _create_topics(home: Any) -> list[str]:
    """Every declared topic that is not there yet, as the DAG `provision` does."""
    from millrace.declared_topics import declared_topics
    from millrace.environment import load_environment
    from millrace.stack.topics import ensure_topic

    environment = load_environment("local", home=home)
    missing = [topic.name for topic in declared_topics() if ensure_topic(environment, topic.name, topic.partitions)]
    return [f"topic {name} created" for name in missing]


def _airflow_text(home: Any) -> str:
    from millrace.stack.airflow import airflow_url
    from millrace.stack.airflow_settings import ADMIN

    return f"{airflow_url(home)}  user {ADMIN}, password in {home.secrets / 'airflow_admin'}"


def _processes(rows: list[dict[str, Any]]) -> Table:
    table = plain_table("Processes")
    for column in ("process", "state", "pid", "for", "endpoint"):
        table.add_column(column)
    for row in rows:
        table.add_row(row["name"], row["state"], str(row["pid"] or ""), _age(row["uptime_s"]), row["endpoint"])
    return table


def _streams(rows: list[dict[str, Any]]) -> Table:
    table = plain_table("Streams")
    table.add_column("query")
    table.add_column("state")
    table.add_column("lag (records)", justify="right")
    table.add_column("last micro-batch")
    for row in rows:
        last = row["last_progress"]
        told = micro_batch(last) if last else ""
        state = f"{row['state']} (candidate)" if row["is_candidate"] else row["state"]
        table.add_row(row["query"], state, "" if row["lag"] is None else f"{row['lag']:,}", told)
    return table


def micro_batch(line: dict[str, Any]) -> str:
    """A line of the journal; one that was recovered from the checkpoint does not say how many rows there were."""
    rows = "" if line["rows"] is None else f", {line['rows']:,} rows"
    late = f", late events for {line['late_rows']:,} rows" if line["late_rows"] else ""
    return f"#{line['batch_id']} at {line['timestamp']}{rows}{late}"


def _jobs(rows: list[dict[str, Any]]) -> Table:
    table = plain_table("Spark jobs")
    for column in ("job", "for", "submitted by", "id"):
        table.add_column(column)
    for row in rows:
        table.add_row(row["name"], _age(row["uptime_s"]), row["owner"], row["id"])
    return table


def _age(seconds: float | None) -> str:
    return "" if seconds is None else str(timedelta(seconds=round(seconds)))


def _health(components: dict[str, str]) -> str:
    unsound = [f"{name} {state}" for name, state in components.items() if state != "healthy"]
    return ", ".join(unsound) or "healthy"

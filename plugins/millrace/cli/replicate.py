"""`millrace replicate`: topics go to a second Kafka cluster, without Airflow."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import TYPE_CHECKING, Annotated

import typer

from jobs.errors import MillraceError, UsageError
from millrace.cli.shared import Json, plain_table, print_json, print_rich
from millrace.cli.streams import Detach, Stop, run_stream

if TYPE_CHECKING:
    from rich.table import Table

    from millrace.replication.pairing import PartitionReport
    from millrace.supervision.connection import Connection

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace replicate — replicate until Ctrl-C; on this machine, a second broker is started for it\n
millrace replicate --detach — in the background; see `millrace status`\n
millrace replicate --stop — stop it, whoever started it\n
millrace replicate --check — compare every record of both clusters; exit code 0 only if none is missing
"""

Check = Annotated[bool, typer.Option("--check", help="Compare both clusters, record by record, and replicate nothing.")]
Wait = Annotated[float, typer.Option(min=0, help="With --check: seconds to wait for what is on its way.")]


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(epilog=EXAMPLES)(replicate)


def replicate(
    detach: Detach = False, stop: Stop = False, check: Check = False, wait: Wait = 10.0, as_json: Json = False
) -> None:
    """Replicate topics to the second Kafka cluster that the environment's file names, with MirrorMaker 2."""
    from millrace.replication.job import REPLICATE, connect_mirror, mirror_job

    if detach + stop + check > 1:
        raise UsageError("--detach, --stop and --check: each is another thing to do; give one of them")
    if check:
        _check(timedelta(seconds=wait), as_json)
        return
    run_stream(REPLICATE, mirror_job, detach, stop, connect_mirror if stop else _answering)


def _check(patience: timedelta, as_json: bool) -> None:
    """Raises MillraceError where the replica lacks a record."""
    from millrace.replication.check import check_replica, verdict
    from millrace.replication.job import revive_broker

    environment = _answering().environment
    revive_broker(environment)
    reports = list(check_replica(environment, patience))
    if as_json:
        print_json([asdict(report) | {"replicated": report.replicated} for report in reports])
    else:
        print_rich(_table(reports))
    if lacking := verdict(reports):
        raise MillraceError(lacking)


def _table(reports: list[PartitionReport]) -> Table:
    table = plain_table("Replica")
    for column in ("topic", "partition"):
        table.add_column(column)
    for column in ("source end", "records", "replicated", "lag", "missing", "duplicates", "not of the source"):
        table.add_column(column, justify="right")
    for each in reports:
        counts = (each.source_end, each.records, each.replicated, each.lag, each.missing)
        numbers = (*counts, each.duplicates, each.strangers)
        table.add_row(each.topic, str(each.partition), *(f"{number:,}" for number in numbers))
    return table


def _answering() -> Connection:
    """The current environment; raises MillraceError where one of the two clusters does not answer, or is not named."""
    from millrace.replication.job import connect_mirror, replica_of, unanswered

    connection = connect_mirror()
    replica_of(connection.environment)
    if missing := unanswered(connection.environment):
        raise MillraceError(missing)
    return connection

"""`millrace azure`: what would be deployed to Azure, found out without Azure; and what an environment there needs."""

from __future__ import annotations

import json
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from millrace.cli.databricks import databricks
from millrace.cli.packages import packages
from millrace.cli.shared import Json, plain_table, print_json, print_rich

if TYPE_CHECKING:
    from collections.abc import Sequence

    from millrace.azure.arm import Deployment
    from millrace.azure.arm.listing import Line

__all__ = ["register"]

PLAN_EXAMPLES = """Examples:\n
millrace azure plan dev --layout hdinsight --location <region> --set prefix=mr
--set operatorPrincipalId=<object id> --set secretsExpire=1900000000\n
millrace azure plan prod --layout databricks --location <region> --set prefix=mr --set kafka=eventhubs
--set operatorPrincipalId=<object id> --set secretsExpire=1900000000 --costs --json\n
"""
TEMPLATE_EXAMPLES = """Examples:\n
millrace azure template --output composed.json — for `az deployment sub what-if --template-file composed.json`\n
"""
_NO_ID = "00000000-0000-0000-0000-000000000000"


class Size(StrEnum):
    """The parameter files in infra/arm/parameters."""

    dev = "dev"
    prod = "prod"


class Layout(StrEnum):
    """HDInsight Kafka and Spark in one network; or Databricks, in a network of its own."""

    hdinsight = "hdinsight"
    databricks = "databricks"


def register(app: typer.Typer) -> None:
    """Add the commands to `app`, as a group."""
    group = typer.Typer(no_args_is_help=True, help="What would be deployed to Azure: resources, and the template.")
    group.command(epilog=PLAN_EXAMPLES)(plan)
    group.command(epilog=TEMPLATE_EXAMPLES)(template)
    group.command()(databricks)
    group.command()(packages)
    app.add_typer(group, name="azure")


def plan(
    size: Annotated[Size, typer.Argument(help="A parameter file of infra/arm/parameters.")],
    layout: Annotated[Layout, typer.Option(help="Where Spark runs.")],
    location: Annotated[str, typer.Option(help="The region, by its name without spaces.")],
    assigned: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="NAME=VALUE", help="A parameter; JSON unless it is text; NAME=@file for a file."),
    ] = None,
    subscription: Annotated[str, typer.Option(help="Its id: hashed into names, as Azure does.")] = _NO_ID,
    costs: Annotated[
        bool, typer.Option("--costs", help="Also what is paid by the hour, by Microsoft's public price list.")
    ] = False,
    environment: Annotated[
        str | None, typer.Option(help="Whose file says which machines Databricks runs; by default the layout's.")
    ] = None,
    as_json: Json = False,
) -> None:
    """List the resources that a deployment would create, in order, without asking Azure. Needs no secret."""
    from millrace.azure.arm.listing import lines
    from millrace.azure.costs import estimate
    from millrace.azure.databricks_machines import all_paid

    deployment = _evaluated(size, layout, location, assigned or [], subscription)
    found = lines(deployment)
    every = all_paid(deployment.everything(), environment or str(layout)) if costs else []
    cost = {"costs": estimate(every, location).splitlines()} if costs else {}
    if as_json:
        print_json({"resources": [asdict(line) for line in found], "outputs": deployment.outputs, **cost})
        return
    print_rich(_table(found))
    typer.echo(f"{len(found)} resources in {len({line.module for line in found if line.module})} modules")
    if subscription == _NO_ID:
        typer.echo("names that carry a hash depend on the subscription; --subscription makes them the real ones")
    for line in cost.get("costs", ()):
        typer.echo(line)


def template(
    output: Annotated[Path | None, typer.Option(help="The file to write; by default stdout.")] = None,
) -> None:
    """Write the template with all of its modules inside: one file, as Azure takes it."""
    from jobs.errors import UsageError
    from millrace.azure.arm import compose

    text = json.dumps(compose(), indent=1) + "\n"
    if output is None:
        typer.echo(text, nl=False)
        return
    try:
        output.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageError(f"--output {output}: cannot be written: {error.strerror}") from error


def _evaluated(size: Size, layout: Layout, location: str, assigned: Sequence[str], subscription: str) -> Deployment:
    from jobs.errors import UsageError
    from millrace.azure.arm import TEMPLATES, Scope, compose, evaluate, read_parameters
    from millrace.azure.arm.assigned import read_assigned, stand_ins

    composed = compose()
    secrets, given = stand_ins(composed), read_assigned(composed, assigned)
    if told := sorted(set(secrets) & set(given)):
        raise UsageError(f"a plan needs no secret, and a command line shows it to others; leave out {', '.join(told)}")
    values = read_parameters(TEMPLATES / "parameters" / f"{size}.json") | {"layout": str(layout)} | given | secrets
    return evaluate(composed, values, Scope(subscription, _NO_ID, "plan", location))


def _table(found: Sequence[Line]) -> Any:
    table = plain_table()
    for name in ("type", "name", "module", "depends on"):
        table.add_column(name, overflow="fold")
    for line in found:
        table.add_row(line.type, line.name, line.module or "", ", ".join(line.depends_on))
    return table

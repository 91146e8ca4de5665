"""`millrace new-pipeline`: the files of a new pipeline."""

from __future__ import annotations

from typing import Annotated

import typer

__all__ = ["register"]

EXAMPLES = """Examples:\n
millrace new-pipeline tick_counts — on the topic stock_ticks; runs as it is, then change its transformation\n
millrace new-pipeline order_totals --topic orders — on a topic that jobs/topics.py declares
"""


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command(name="new-pipeline", epilog=EXAMPLES)(new_pipeline)


def new_pipeline(
    name: Annotated[str, typer.Argument(help="lower_snake_case, with single underscores.")],
    topic: Annotated[str, typer.Option(help="A topic of jobs/topics.py.")] = "stock_ticks",
) -> None:
    """Write a pipeline that runs: declaration, transformation, test and DAG."""
    from jobs.topics import find_topic
    from millrace.home import PROJECT_ROOT
    from millrace.scaffold import scaffold

    for path in scaffold(name, find_topic(topic), PROJECT_ROOT):
        typer.echo(f"created {path.relative_to(PROJECT_ROOT)}")
    typer.echo(f"next: change jobs/pipelines/{name}/transform.py, and run `make test ARGS=tests/pipelines`")

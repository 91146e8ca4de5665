"""`millrace azure packages`: Python packages for the nodes of HDInsight's Spark clusters."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from jobs.errors import MillraceError
from millrace.cli.shared import print_json

__all__ = ["packages"]


def packages(
    archive: Annotated[Path, typer.Argument(help="A .tar.gz of requirements.txt, with hashes, and wheels/.")],
) -> None:
    """Upload packages to the environment's cluster storage; prints the parameter by which clusters install them."""
    from millrace.azure.packages import packages_action
    from millrace.environment import load_environment
    from millrace.platforms.hdinsight_settings import HdinsightSettings
    from millrace.platforms.hdinsight_store import JobStore

    environment = load_environment()
    if environment.platform != "hdinsight":
        raise MillraceError(
            f"environment {environment.name!r}: its platform is {environment.platform!r}; set MILLRACE_ENVIRONMENT to"
            " one on HDInsight"
        )
    settings = HdinsightSettings.of(environment)
    action = packages_action(archive, JobStore(environment, settings.container, settings.path))
    print_json({"sparkScriptActions": [action]})

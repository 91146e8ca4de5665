"""`millrace azure databricks`: a workspace is made ready for jobs."""

from __future__ import annotations

from typing import Annotated

import typer

from jobs.errors import MillraceError

__all__ = ["databricks"]


def databricks(
    vault_id: Annotated[str | None, typer.Option(help="Resource id of the Key Vault behind the secret scope.")] = None,
    vault_address: Annotated[str | None, typer.Option(help="Its address: https://<name>.vault.azure.net/")] = None,
) -> None:
    """Make the environment's Databricks workspace ready: cluster policy, secret scope, folders. May be repeated."""
    from millrace.environment import load_environment
    from millrace.platforms.databricks_client import connect_workspace
    from millrace.platforms.databricks_preparation import KeyVault, prepare
    from millrace.platforms.databricks_settings import DatabricksSettings

    environment = load_environment()
    if environment.platform != "databricks":
        raise MillraceError(
            f"environment {environment.name!r}: its platform is {environment.platform!r}; set MILLRACE_ENVIRONMENT to"
            " one on Databricks"
        )
    settings = DatabricksSettings.of(environment.platform_table)
    vault = KeyVault(vault_id, vault_address) if vault_id and vault_address else None
    for line in prepare(connect_workspace(settings), settings, vault):
        typer.echo(line)

"""A client of one Databricks workspace: its login, its errors in Millrace's words, and an expired login renewed."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, TypeVar

from databricks.sdk import WorkspaceClient
from databricks.sdk.config import Config
from databricks.sdk.credentials_provider import CredentialsProvider, CredentialsStrategy
from databricks.sdk.errors import (
    BadRequest,
    NotFound,
    PermissionDenied,
    ResourceConflict,
    Unauthenticated,
)

from jobs.errors import MillraceError
from millrace.credentials import login_of
from millrace.platforms.databricks_settings import DatabricksSettings

__all__ = ["MissingError", "RefusedError", "Workspace", "connect_workspace"]

_RESOURCE = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d/.default"
"""Azure Databricks' own id in Microsoft Entra: https://learn.microsoft.com/azure/databricks/dev-tools/auth/azure-sp"""
_RETRY_S = 120

Answer = TypeVar("Answer")


class RefusedError(MillraceError):
    """Databricks does not do what it is asked, however often."""


class MissingError(RefusedError):
    """Databricks knows no such thing, or not any more."""


class Workspace:
    """Calls to a workspace; `connect` makes a client with the login as it is now.

    429 and 503 are tried again after the answer's Retry-After, and what does not connect, for two minutes.
    """

    def __init__(self, host: str, connect: Callable[[], WorkspaceClient]) -> None:
        self.host = host
        self._connect = connect
        self._client: WorkspaceClient | None = None

    def call(self, what: str, request: Callable[[WorkspaceClient], Answer]) -> Answer:
        """The answer. A login that is no longer accepted is taken anew, once: 401 says so, and of some tokens 403.

        Raises RefusedError for what Databricks refuses, with `what` was asked; MillraceError for a login that may not;
        the client's own error for what may pass.
        """
        try:
            return self._answer(what, request)
        except (Unauthenticated, PermissionDenied):
            self._client = None
        try:
            return self._answer(what, request)
        except Unauthenticated as error:
            remedy = "renew what the connection holds"
            raise MillraceError(f"{what}: {self.host} does not accept the login ({error}); {remedy}") from error
        except PermissionDenied as error:
            remedy = "grant it to this login, or renew what the connection holds"
            raise MillraceError(f"{what}: {self.host} does not allow it: {error}; {remedy}") from error

    def _answer(self, what: str, request: Callable[[WorkspaceClient], Answer]) -> Answer:
        if self._client is None:
            self._client = self._connect()
        try:
            return request(self._client)
        except NotFound as error:
            raise MissingError(f"{what}: {self.host} has no such thing: {error}") from error
        except (BadRequest, ResourceConflict) as error:
            raise RefusedError(f"{what}: {self.host} refuses it ({type(error).__name__}): {error}") from error


def connect_workspace(settings: DatabricksSettings) -> Workspace:
    """The workspace of an environment; its login is read when it is needed.

    The connection holds `token` and a personal access token, or a service principal's application id and secret: one
    of Databricks' own, or of Entra where the settings name the tenant. Or it is one of type `azure`: any identity.
    Without a connection one gets in as oneself (`DefaultAzureCredential`: a managed or workload identity, or the Azure
    CLI's user).
    """
    logging.getLogger("databricks.sdk").setLevel(logging.WARNING)
    return Workspace(settings.host, lambda: WorkspaceClient(config=_config(settings)))


def _config(settings: DatabricksSettings) -> Config:
    """`auth_type` keeps other logins out that the environment's variables hold."""
    common: dict[str, Any] = {"host": settings.host, "retry_timeout_seconds": _RETRY_S, "product": "millrace"}
    common["product_version"] = "0.1.0"
    if settings.connection is None or settings.is_azure_connection:
        return Config(credentials_strategy=_Entra(settings.connection), auth_type=_Entra.NAME, **common)
    login = login_of(settings.connection)
    if login.login == "token":
        return Config(token=login.password, auth_type="pat", **common)
    if settings.azure_tenant_id is None:
        common["discovery_url"] = f"{settings.host}/oidc/.well-known/oauth-authorization-server"
        return Config(client_id=login.login, client_secret=login.password, auth_type="oauth-m2m", **common)
    return Config(
        azure_client_id=login.login,
        azure_client_secret=login.password,
        azure_tenant_id=settings.azure_tenant_id,
        auth_type="azure-client-secret",
        **common,
    )


class _Entra(CredentialsStrategy):
    """Tokens for whoever an Airflow connection of type `azure` names; None: whom azure-identity finds."""

    NAME = "millrace-azure-identity"

    def __init__(self, connection: str | None) -> None:
        self._connection = connection

    def auth_type(self) -> str:
        return self.NAME

    def __call__(self, cfg: Config) -> CredentialsProvider:
        from millrace.azure.identity import credential_of  # here: it loads Airflow's provider

        identity = credential_of(self._connection)
        return lambda: {"Authorization": f"Bearer {identity.get_token(_RESOURCE).token}"}

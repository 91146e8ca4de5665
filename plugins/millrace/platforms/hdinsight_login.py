"""How one gets past a cluster's gateway: by a user's name and password, or by a token of Microsoft Entra.

A cluster has one of both: https://learn.microsoft.com/azure/hdinsight/hdinsight-with-entra-authentication
"""

from __future__ import annotations

import base64
import threading
from collections.abc import Callable, Generator
from typing import TYPE_CHECKING, Protocol

import httpx

from millrace.credentials import Login, login_of
from millrace.platforms.hdinsight_settings import HdinsightSettings

if TYPE_CHECKING:
    from azure.core.credentials import TokenCredential

__all__ = ["BasicLogin", "EntraLogin", "GatewayLogin", "RenewedAuth", "login_for"]


class GatewayLogin(Protocol):
    """A login, which is read when it is needed."""

    def header(self) -> str:
        """The value of `Authorization` now. Blocks."""
        ...

    def forget(self) -> None:
        """What is remembered was refused: the next header is made anew."""
        ...


class BasicLogin:
    """A user's name and password, which `read` tells."""

    def __init__(self, read: Callable[[], Login]) -> None:
        self._read = read
        self._header: str | None = None

    def header(self) -> str:
        if self._header is None:
            login = self._read()
            self._header = "Basic " + base64.b64encode(f"{login.login}:{login.password}".encode()).decode()
        return self._header

    def forget(self) -> None:
        self._header = None


class EntraLogin:
    """Tokens for `scope`, by a credential of azure-identity, which gets a new one shortly before the old one ends."""

    def __init__(self, scope: str, credential: Callable[[], TokenCredential]) -> None:
        self._scope = scope
        self._new_credential = credential
        self._credential: TokenCredential | None = None
        self._lock = threading.Lock()

    def header(self) -> str:
        with self._lock:
            if self._credential is None:
                self._credential = self._new_credential()
            return f"Bearer {self._credential.get_token(self._scope).token}"

    def forget(self) -> None:
        self._credential = None


class RenewedAuth(httpx.Auth):
    """Puts a login into each request. One that is refused (401, so nothing was done) is made anew, and where it is
    another one then, the request is sent again, once."""

    def __init__(self, login: GatewayLogin) -> None:
        self._login = login

    def auth_flow(self, request: httpx.Request) -> Generator[httpx.Request, httpx.Response, None]:
        request.headers["Authorization"] = sent = self._login.header()
        answer = yield request
        if answer.status_code != 401:
            return
        self._login.forget()
        renewed = self._login.header()
        if renewed != sent:
            request.headers["Authorization"] = renewed
            yield request


def login_for(settings: HdinsightSettings) -> GatewayLogin:
    """The login that an environment's file names."""
    connection = settings.connection
    if settings.token_scope is None:
        return BasicLogin(lambda: login_of(str(connection)))

    def credential() -> TokenCredential:
        from millrace.azure.identity import credential_of  # here: it loads Airflow's provider

        return credential_of(connection)

    return EntraLogin(settings.token_scope, credential)

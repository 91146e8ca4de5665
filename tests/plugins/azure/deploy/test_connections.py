"""The Azure provider's connection in its three kinds, against the tests' login."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from airflow.sdk.exceptions import AirflowException, AirflowFailException

from tests.azure_control_plane.cloud import Azure
from tests.plugins.azure.deploy.tries import finished


def connection(monkeypatch: pytest.MonkeyPatch, **fields: object) -> None:
    monkeypatch.setenv("AIRFLOW_CONN_AZURE_DEFAULT", json.dumps({"conn_type": "azure", **fields}))


def test_a_workload_identity_deploys_without_a_secret(
    azure: Azure, monkeypatch: pytest.MonkeyPatch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    token = tmp_path_factory.mktemp("federated") / "token"
    token.write_text(azure.login.assertion, encoding="utf-8")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(token))
    monkeypatch.setenv("AZURE_CLIENT_ID", azure.login.client)
    monkeypatch.setenv("AZURE_TENANT_ID", azure.tenant)
    own = {"managed_identity_client_id": azure.login.client, "workload_identity_tenant_id": azure.tenant}
    connection(monkeypatch, extra={"subscriptionId": azure.subscription, **own})
    assert finished()["resourceGroup"] == "mr-dev"


@contextmanager
def managed_identity(azure: Azure, header: str) -> Iterator[str]:
    """The endpoint that Azure gives to what runs on it with a managed identity."""

    class Endpoint(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            known = self.headers.get("X-IDENTITY-HEADER") == header
            told = {
                "access_token": azure.login.issue(),
                "expires_on": str(int(time.time()) + 3600),
                "token_type": "Bearer",
            }
            self.send_response(200 if known else 401)
            self.send_header("Content-Type", "application/json")
            self.end_headers()
            self.wfile.write(json.dumps(told if known else {}).encode())

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Endpoint)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/token"
    server.shutdown()
    server.server_close()


def test_a_managed_identity_deploys_without_a_secret(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, extra={"subscriptionId": azure.subscription})
    with managed_identity(azure, "a-header") as endpoint:
        monkeypatch.setenv("IDENTITY_ENDPOINT", endpoint)
        monkeypatch.setenv("IDENTITY_HEADER", "a-header")
        assert finished()["resourceGroup"] == "mr-dev"


def test_a_wrong_secret_is_told_as_what_it_is(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"tenantId": azure.tenant, "subscriptionId": azure.subscription}
    connection(monkeypatch, login=azure.login.client, password="wrong", extra=extra)
    with pytest.raises(AirflowException, match="AADSTS7000215: Invalid client secret"):
        finished()
    assert azure.said == []


def test_a_connection_without_a_subscription_is_refused(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    connection(monkeypatch, extra={})
    with pytest.raises(AirflowFailException, match="names no subscription"):
        finished()


def test_half_an_identity_is_refused(azure: Azure, monkeypatch: pytest.MonkeyPatch) -> None:
    extra = {"subscriptionId": azure.subscription, "managed_identity_client_id": azure.login.client}
    connection(monkeypatch, extra=extra)
    with pytest.raises(AirflowFailException, match="set both or neither"):
        finished()

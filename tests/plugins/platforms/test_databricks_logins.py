"""Who one is in a workspace, by Airflow's connections: by Databricks' own tokens, and Entra's, which are checked."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest

from jobs.errors import MillraceError
from millrace.environment_file import Table
from millrace.platforms.databricks import DatabricksPlatform
from millrace.platforms.databricks_client import Workspace, connect_workspace
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.platforms.protocol import SparkJob
from millrace.waiting import until
from tests.azure_control_plane.exchange import Answer, Request
from tests.plugins.platforms.databricks.drivers import TOKEN
from tests.plugins.platforms.databricks.server import Server
from tests.plugins.platforms.entra import CONNECTION, KINDS, Entra, entra_cloud

DATABRICKS = "2ff814a6-3304-4ab8-85cb-cd0e6f879c1d"
"""Its id in Entra: https://learn.microsoft.com/azure/databricks/dev-tools/auth/aad-token-manual"""
AT_AZURE = "adb-1234567890123456.7.azuredatabricks.net"
PRINCIPAL, SECRET = "0d5c1f6e-application", "dose-the-principals-secret"
SLEEP = "import time; time.sleep(600)"


@pytest.fixture(params=KINDS)
def entra(request: pytest.FixtureRequest, server: Server, tmp_path: Path) -> Iterator[Entra]:
    with entra_cloud(tmp_path, request.param) as entra:
        let_in(server, entra)
        yield entra


@pytest.fixture
def principal(server: Server, tmp_path: Path) -> Iterator[Entra]:
    with entra_cloud(tmp_path) as entra:
        let_in(server, entra)
        yield entra


def let_in(server: Server, entra: Entra) -> None:
    def is_entras(token: str) -> bool:
        try:
            jwt.decode(token, entra.public_key, algorithms=["RS256"], audience=DATABRICKS)
        except jwt.InvalidTokenError:
            return False
        return True

    server.is_entras = is_entras


def workspace_of(server: Server, **table: str) -> Workspace:
    values = {"host": server.host, "code": "/Volumes/main/millrace/code", **table}
    return connect_workspace(DatabricksSettings.of(Table(Path("x.toml"), "databricks", values)))


def ask(workspace: Workspace) -> list[Any]:
    return workspace.call("list the active runs", lambda client: list(client.jobs.list_runs(active_only=True)))


def test_an_airflow_connection_with_a_personal_token(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    server.access.add(TOKEN)
    held = {"conn_type": "generic", "login": "token", "password": TOKEN}
    monkeypatch.setenv("AIRFLOW_CONN_DBX", json.dumps(held))
    assert ask(workspace_of(server, connection="dbx")) == []


def test_an_airflow_connection_with_a_service_principal_of_databricks(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    server.logins[PRINCIPAL] = SECRET
    held = {"conn_type": "generic", "login": PRINCIPAL, "password": SECRET}
    monkeypatch.setenv("AIRFLOW_CONN_DBX", json.dumps(held))
    workspace = workspace_of(server, connection="dbx")
    assert ask(workspace) == []
    server.access.clear()  # every token expires
    assert ask(workspace) == []


def test_an_airflow_connection_with_a_secret_of_entra_and_its_tenant(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The client looks at the host's name: it is one of Azure's here."""

    def workspace(request: Request) -> Answer:
        headers = {"Authorization": request.headers.get("authorization", "")}
        url = f"{server.host}{request.path}"
        found = httpx.request(request.method, url, params=request.query, headers=headers, json=request.body)
        return Answer(found.status_code, found.json())

    with entra_cloud(tmp_path, sites={AT_AZURE: workspace}) as entra:
        let_in(server, entra)
        held = {"conn_type": "generic", "login": entra.client, "password": entra.secret}
        monkeypatch.setenv("AIRFLOW_CONN_DBX", json.dumps(held))
        table = {"connection": "dbx", "azure_tenant_id": entra.tenant, "host": f"https://{AT_AZURE}"}
        assert ask(workspace_of(server, **table)) == []
        assert DATABRICKS in entra.audiences


def test_an_azure_connection_of_any_kind(server: Server, entra: Entra) -> None:
    workspace = workspace_of(server, login="entra", connection=CONNECTION)
    assert [ask(workspace) for _ in range(3)] == [[], [], []]
    assert entra.audiences == [DATABRICKS], "one token serves all"


def test_no_connection_is_the_machines_managed_identity(server: Server, tmp_path: Path) -> None:
    with entra_cloud(tmp_path, "a managed identity") as entra:
        let_in(server, entra)
        assert ask(workspace_of(server)) == []
        assert entra.audiences == [DATABRICKS]


def test_a_token_of_entra_that_ends_before_its_time_is_replaced(server: Server, principal: Entra) -> None:
    principal.lasts_s = 1
    workspace = workspace_of(server, login="entra", connection=CONNECTION)
    ask(workspace)
    assert until(lambda: not server.is_entras(principal.tokens[0]), timedelta(seconds=10))
    principal.lasts_s = 3599
    assert ask(workspace) == []
    assert principal.audiences == [DATABRICKS, DATABRICKS]


def test_who_is_refused_is_told_to_renew_what_the_connection_holds(server: Server, principal: Entra) -> None:
    server.is_entras = lambda token: False
    with pytest.raises(MillraceError, match=r"does not accept the login .*renew what the connection holds"):
        ask(workspace_of(server, login="entra", connection=CONNECTION))


def test_a_tenant_beside_an_azure_connection_is_refused(server: Server) -> None:
    with pytest.raises(MillraceError, match=r"azure_tenant_id is 't'; with login entra the connection says it"):
        workspace_of(server, login="entra", connection=CONNECTION, azure_tenant_id="t")


def test_looking_for_a_job_and_asking_how_it_is_are_one_request_each(
    server: Server, databricks: DatabricksPlatform
) -> None:
    for kind in ("archive", "reprocess"):
        running = databricks.submit(SparkJob(kind, (kind, SLEEP), "run.1"))
        server.requests.clear()
        started = time.monotonic()
        assert databricks.find(kind) == running
        databricks.state(running.id)
        assert [request.path for request in server.requests] == ["/api/2.2/jobs/runs/list", "/api/2.2/jobs/runs/get"]
        assert time.monotonic() - started < 10

"""Microsoft Entra ID for a test: one tenant, one principal; tokens are signed (RS256), for one audience, and end.

The login's host is answered at its real name, through a proxy; a managed identity's endpoint is one of this machine, as
App Service has it (https://learn.microsoft.com/azure/app-service/overview-managed-identity, api-version 2019-08-01).
"""

from __future__ import annotations

import json
import os
import threading
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from tests.azure_control_plane.certificates import write_certificates
from tests.azure_control_plane.exchange import Answer, Request
from tests.azure_control_plane.login import LOGIN
from tests.azure_control_plane.proxy import Site, proxy

__all__ = ["CONNECTION", "KINDS", "Entra", "entra_cloud"]

CONNECTION = "entra"
KINDS = ("a service principal", "a workload identity", "a managed identity")


@dataclass
class Entra:
    """`told_s`: how long a token lasts by the answer that it comes with; `lasts_s`: by the token itself."""

    folder: Path
    told_s: int = 3599
    lasts_s: int = 3599
    audiences: list[str] = field(default_factory=list)
    """Of the tokens that were issued, in turn."""
    tokens: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.tenant, self.client = str(uuid.uuid4()), str(uuid.uuid4())
        self.secret, self.assertion, self.header = (uuid.uuid4().hex for _ in range(3))
        self._key = rsa.generate_private_key(65537, 2048)
        pem = serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        self.public_key = self._key.public_key().public_bytes(*pem).decode()

    def connection(self, kind: str) -> str:
        """An Airflow connection of type `azure`, as JSON for an environment variable."""
        if kind == "a service principal":
            login = {"login": self.client, "password": self.secret, "extra": {"tenantId": self.tenant}}
            return json.dumps({"conn_type": "azure", **login})
        return json.dumps({"conn_type": "azure"})

    def variables(self, kind: str, identities: str) -> dict[str, str]:
        """What the machine says of itself, by which azure-identity finds who it is."""
        if kind == "a workload identity":
            file = self.folder / "assertion"
            file.write_text(self.assertion)
            names = {"AZURE_TENANT_ID": self.tenant, "AZURE_CLIENT_ID": self.client}
            return {**names, "AZURE_FEDERATED_TOKEN_FILE": str(file)}
        if kind == "a managed identity":
            return {"IDENTITY_ENDPOINT": identities, "IDENTITY_HEADER": self.header}
        return {}

    def __call__(self, request: Request) -> Answer:
        """The answer of the login's host, to both versions of its token's endpoint."""
        if "/discovery/instance" in request.path:
            alias = {"preferred_network": LOGIN, "preferred_cache": "login.windows.net", "aliases": [LOGIN]}
            where = f"https://{LOGIN}/{self.tenant}/v2.0/.well-known/openid-configuration"
            return Answer(200, {"tenant_discovery_endpoint": where, "api-version": "1.1", "metadata": [alias]})
        if request.path.endswith("/.well-known/openid-configuration"):
            base = f"https://{LOGIN}/{self.tenant}"
            ends = {f"{name}_endpoint": f"{base}/oauth2/v2.0/{name}" for name in ("token", "authorize", "devicecode")}
            ends["authorization_endpoint"] = ends["device_authorization_endpoint"] = ends.pop("authorize_endpoint")
            return Answer(200, {**ends, "issuer": f"{base}/v2.0"})
        if request.path not in (f"/{self.tenant}/oauth2/v2.0/token", f"/{self.tenant}/oauth2/token"):
            return Answer(404, {"error": "invalid_request", "error_description": f"AADSTS90002: no {request.path}"})
        form = request.body or {}
        is_known = form.get("client_secret") == self.secret or form.get("client_assertion") == self.assertion
        if form.get("client_id") != self.client or not is_known:
            told = "AADSTS7000215: Invalid client secret provided."
            return Answer(401, {"error": "invalid_client", "error_description": told, "error_codes": [7000215]})
        audience = form.get("resource") or form["scope"].removesuffix("/.default")
        return Answer(200, {"token_type": "Bearer", "expires_in": self.told_s, "access_token": self.issue(audience)})

    def issue(self, audience: str) -> str:
        now = int(time.time())
        claims = {"aud": audience, "iat": now, "exp": now + self.lasts_s, "appid": self.client, "jti": uuid.uuid4().hex}
        self.audiences.append(audience)
        self.tokens.append(jwt.encode(claims, self._key, algorithm="RS256"))
        return self.tokens[-1]


@contextmanager
def entra_cloud(folder: Path, kind: str = KINDS[0], sites: Mapping[str, Site] | None = None) -> Iterator[Entra]:
    """An Entra that clients in this process find, beside other `sites`: the Airflow connection CONNECTION is of this
    kind of identity."""
    entra = Entra(folder)
    served_here = {LOGIN: entra, **(sites or {})}
    trusted, served = write_certificates(folder, list(served_here))
    with (
        proxy(served_here, served) as address,
        _identities(entra) as identities,
        pytest.MonkeyPatch.context() as patch,
    ):
        for name in [name for name in os.environ if name.startswith(("AZURE_", "IDENTITY_", "DATABRICKS_"))]:
            patch.delenv(name)
        variables = {
            "HTTPS_PROXY": address,
            "NO_PROXY": "127.0.0.1,localhost",
            "REQUESTS_CA_BUNDLE": str(trusted),
            "SSL_CERT_FILE": str(trusted),
            f"AIRFLOW_CONN_{CONNECTION.upper()}": entra.connection(kind),
            **entra.variables(kind, identities),
        }
        for name, value in variables.items():
            patch.setenv(name, value)
        yield entra


@contextmanager
def _identities(entra: Entra) -> Iterator[str]:
    """The address of a managed identity's endpoint."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            query = dict(parse_qsl(urlsplit(self.path).query))
            is_ours = self.headers.get("X-IDENTITY-HEADER") == entra.header and query["api-version"] == "2019-08-01"
            ends = str(int(time.time()) + entra.told_s)
            token = {"access_token": entra.issue(query["resource"]), "expires_on": ends} if is_ours else {}
            answer = json.dumps({**token, "token_type": "Bearer", "resource": query["resource"]}).encode()
            self.send_response(200 if is_ours else 401)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            """Nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}/msi/token"
    finally:
        server.shutdown()
        server.server_close()

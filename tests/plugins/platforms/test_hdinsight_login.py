"""Getting past the gateway of the conformance tests: by a password, or by tokens of Entra that end meanwhile."""

from __future__ import annotations

import json
import ssl
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
import pytest
from azure.core.exceptions import ClientAuthenticationError

from jobs.errors import MillraceError, UsageError
from millrace.credentials import Login
from millrace.platforms.hdinsight_gateway import Gateway
from millrace.platforms.hdinsight_login import BasicLogin, EntraLogin, login_for
from millrace.platforms.hdinsight_settings import HdinsightSettings
from millrace.waiting import until
from tests.conformance.certificates import make_certificates
from tests.conformance.gateway_server import handler
from tests.plugins.platforms.entra import CONNECTION, KINDS, Entra, entra_cloud
from tests.plugins.platforms.test_hdinsight import bare_environment, on_hdinsight

AUDIENCE = "https://sparkdev.clusteraccess.azurehdinsight.net"
SOON = timedelta(seconds=10)


@dataclass
class Rig:
    """A gateway in this process. `answers` holds the status of each request that came to it."""

    url: str
    ca: str
    answers: list[int] = field(default_factory=list)
    passed: list[tuple[str, dict[str, str], bytes]] = field(default_factory=list)


@contextmanager
def gateway_rig(folder: Path, **login: str) -> Iterator[Rig]:
    """Behind it is a Livy that has no batches, and takes each that it is given."""
    certificates = make_certificates(folder)
    rig = Rig("", str(certificates.ca))

    class Livy(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            rig.passed.append((self.command, dict(self.headers.items()), body))
            answer = json.dumps({"id": 7} if self.command == "POST" else {"from": 0, "total": 0, "sessions": []})
            self.send_response(200)
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer.encode())

        do_POST = do_GET  # noqa: N815 - the name of http.server

    with serving(Livy) as livy:
        settings: dict[str, Any] = {"livy": livy, "yarn": livy, **login}

        class Counting(handler(settings)):  # type: ignore[misc]
            def send_response(self, code: int, message: str | None = None) -> None:
                rig.answers.append(code)
                super().send_response(code, message)

        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificates.certificate, certificates.key)
        with serving(Counting, context) as address:
            rig.url = f"https://{address.replace('127.0.0.1', 'localhost')}"
            yield rig


@contextmanager
def serving(of: type[BaseHTTPRequestHandler], context: ssl.SSLContext | None = None) -> Iterator[str]:
    of.log_message = lambda *_: None  # type: ignore[method-assign]
    server = ThreadingHTTPServer(("127.0.0.1", 0), of)
    server.daemon_threads = True
    if context:
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield f"127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


@pytest.fixture
def entra(tmp_path: Path) -> Iterator[Entra]:
    with entra_cloud(tmp_path) as entra:
        yield entra


@pytest.fixture
def rig(entra: Entra, tmp_path: Path) -> Iterator[Rig]:
    with gateway_rig(tmp_path / "gateway", signed_by=entra.public_key, audience=AUDIENCE) as rig:
        yield rig


def settings_of(rig: Rig, **changes: object) -> HdinsightSettings:
    given = {"login": "entra", "connection": CONNECTION, "gateway": rig.url, "ca_file": rig.ca, **changes}
    return HdinsightSettings.of(on_hdinsight(bare_environment(Path(rig.ca).parent), **given))


def gateway_of(rig: Rig, **changes: object) -> Gateway:
    settings = settings_of(rig, **changes)
    return Gateway(settings.gateway, login_for(settings), settings.ca_file)


@pytest.mark.parametrize("kind", KINDS)
def test_whoever_the_connection_is_gets_in_with_a_token_for_this_cluster(kind: str, tmp_path: Path) -> None:
    with (
        entra_cloud(tmp_path, kind) as entra,
        gateway_rig(tmp_path / "gateway", signed_by=entra.public_key, audience=AUDIENCE) as rig,
    ):
        gateway = gateway_of(rig)
        for _ in range(3):
            gateway.check_livy()
        assert (entra.audiences, rig.answers) == ([AUDIENCE], [200, 200, 200])
        assert {headers["X-Requested-By"] for _, headers, _ in rig.passed} == {"millrace"}
        assert all("uthorization" not in name for _, headers, _ in rig.passed for name in headers)


def test_without_a_connection_it_is_airflows_own_identity(tmp_path: Path) -> None:
    with (
        entra_cloud(tmp_path, "a managed identity") as entra,
        gateway_rig(tmp_path / "gateway", signed_by=entra.public_key, audience=AUDIENCE) as rig,
    ):
        gateway_of(rig, connection=None).check_livy()
        assert (entra.audiences, rig.answers) == ([AUDIENCE], [200])


def test_a_token_that_has_ended_is_replaced_before_it_is_sent(entra: Entra, rig: Rig) -> None:
    entra.told_s = entra.lasts_s = 2
    gateway = gateway_of(rig)
    gateway.check_livy()
    end = jwt.decode(entra.tokens[0], options={"verify_signature": False})["exp"]
    assert until(lambda: time.time() > end + 0.5, SOON)
    gateway.check_livy()
    assert (len(entra.tokens), rig.answers) == (2, [200, 200])


def test_a_token_that_is_refused_before_its_time_is_replaced_and_nothing_is_done_twice(entra: Entra, rig: Rig) -> None:
    entra.lasts_s = 1
    gateway = gateway_of(rig)
    gateway.check_livy()
    end = jwt.decode(entra.tokens[0], options={"verify_signature": False})["exp"]
    assert until(lambda: time.time() > end + 0.5, SOON)
    assert gateway.submit_batch({"name": "a job"}) == 7
    assert (len(entra.tokens), rig.answers) == (2, [200, 401, 200])
    assert [body for method, _, body in rig.passed if method == "POST"] == [b'{"name":"a job"}']


def test_a_token_for_another_cluster_is_refused_after_one_more_try(entra: Entra, rig: Rig) -> None:
    with pytest.raises(MillraceError, match=r"refuses the login: 401.*correct its Airflow connection"):
        gateway_of(rig, cluster="othercluster").check_livy()
    assert rig.answers == [401, 401]
    assert set(entra.audiences) == {"https://othercluster.clusteraccess.azurehdinsight.net"}


def test_no_token_is_an_error_of_the_submission_and_concludes_nothing_of_a_job(entra: Entra, rig: Rig) -> None:
    entra.secret = "changed meanwhile"
    gateway = gateway_of(rig)
    with pytest.raises(MillraceError, match=r"Entra gives no token: .*AADSTS7000215.*correct its Airflow connection"):
        gateway.check_livy()
    with pytest.raises(ClientAuthenticationError):
        gateway.applications("a tag")
    assert rig.answers == []


def test_half_an_identity_is_refused(entra: Entra, rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    half = {"conn_type": "azure", "extra": {"managed_identity_client_id": entra.client}}
    monkeypatch.setenv(f"AIRFLOW_CONN_{CONNECTION.upper()}", json.dumps(half))
    with pytest.raises(UsageError, match="set both or neither"):
        gateway_of(rig).check_livy()


def test_a_password_that_was_changed_is_read_again_and_the_request_repeated(tmp_path: Path) -> None:
    known = ["old"]
    with gateway_rig(tmp_path, user="millrace", password="new") as rig:
        gateway = Gateway(rig.url, BasicLogin(lambda: Login("millrace", known[-1])), rig.ca)
        with pytest.raises(MillraceError, match="refuses the login: 401"):
            gateway.check_livy()
        assert rig.answers == [401], "the same password is not tried again"
        known.append("new")
        gateway.check_livy()
        assert rig.answers == [401, 401, 200]


def test_the_login_is_one_of_two(rig: Rig) -> None:
    with pytest.raises(MillraceError, match=r"hdinsight\.login is 'token'; use one of: basic, entra"):
        settings_of(rig, login="token")
    assert settings_of(rig, login="basic", connection="x").token_scope is None
    assert isinstance(login_for(settings_of(rig)), EntraLogin)

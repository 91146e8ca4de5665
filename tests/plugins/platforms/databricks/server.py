"""The workspace behind HTTP: logins, faults to order, and what was asked."""

from __future__ import annotations

import base64
import json
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tests.plugins.platforms.databricks.wire_types import WireTypeError
from tests.plugins.platforms.databricks.workspace import ApiError, Workspace

__all__ = ["Fault", "Request", "Server", "serve"]

FILES, DIRECTORIES = "/api/2.0/fs/files", "/api/2.0/fs/directories"


@dataclass(frozen=True)
class Request:
    """What came in."""

    method: str
    path: str
    query: dict[str, str]
    headers: dict[str, str]
    body: bytes


@dataclass
class Fault:
    """The next `times` requests of this path get this status, after `hold`; `is_done`: after they were carried out."""

    path: str
    status: int
    times: int = 1
    is_done: bool = False
    headers: dict[str, str] = field(default_factory=dict)
    hold: Callable[[], object] = lambda: None


@dataclass
class Server:
    """`logins` are the service principals, `access` the tokens that are good now; `is_entras` knows Entra's tokens.

    `refusal`: how a login is refused; a personal access token that has ended with 403, by what users of the SDK report.
    """

    workspace: Workspace
    logins: dict[str, str] = field(default_factory=dict)
    access: set[str] = field(default_factory=set)
    is_entras: Callable[[str], bool] = lambda token: False
    requests: list[Request] = field(default_factory=list)
    unfit: list[str] = field(default_factory=list)
    refusal: tuple[int, str] = (401, "UNAUTHENTICATED")
    faults: list[Fault] = field(default_factory=list)
    host: str = ""

    def fault(self, request: Request, is_done: bool) -> Fault | None:
        for fault in self.faults:
            if fault.path == request.path and fault.times > 0 and fault.is_done == is_done:
                fault.times -= 1
                fault.hold()
                return fault
        return None

    def token(self, request: Request) -> dict[str, Any]:
        """OAuth's client credentials, as the workspace's own endpoint takes them."""
        scheme, _, given = request.headers.get("authorization", "").partition(" ")
        user, _, secret = base64.b64decode(given).decode().partition(":") if scheme == "Basic" else ("", "", "")
        if not user or self.logins.get(unquote(user)) != unquote(secret):
            raise ApiError(401, "invalid_client", "Client authentication failed")
        token = uuid.uuid4().hex
        self.access.add(token)
        return {"access_token": token, "token_type": "Bearer", "expires_in": 3600}

    def check_login(self, request: Request) -> None:
        scheme, _, token = request.headers.get("authorization", "").partition(" ")
        if scheme != "Bearer" or not (token in self.access or self.is_entras(token)):
            raise ApiError(*self.refusal, "Invalid access token.")


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def do_GET(self) -> None:
        self._serve("GET")

    def do_POST(self) -> None:
        self._serve("POST")

    def do_PUT(self) -> None:
        self._serve("PUT")

    def do_HEAD(self) -> None:
        self._serve("HEAD")

    def log_message(self, *_: object) -> None:
        """Nothing: pytest shows requests that matter."""

    def _serve(self, method: str) -> None:
        url = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers = {name.lower(): value for name, value in self.headers.items()}
        request = Request(method, unquote(url.path), dict(parse_qsl(url.query)), headers, body)
        state = self.server.state
        state.requests.append(request)
        try:
            if fault := state.fault(request, is_done=False):
                return self._fail(fault.status, "TEMPORARILY_UNAVAILABLE", "ordered by the test", fault.headers)
            found = self._answer(request)
            if fault := state.fault(request, is_done=True):
                return self._fail(fault.status, "TEMPORARILY_UNAVAILABLE", "ordered by the test", fault.headers)
        except ApiError as error:
            return self._fail(error.status, error.code, str(error))
        except WireTypeError as error:
            state.unfit.append(str(error))
            return self._fail(400, "MALFORMED_REQUEST", str(error))
        return self._send(200, found if isinstance(found, bytes) else json.dumps(found).encode())

    def _answer(self, request: Request) -> dict[str, Any] | bytes:
        state = self.server.state
        if request.path == "/oidc/.well-known/oauth-authorization-server":
            return {
                "token_endpoint": f"{state.host}/oidc/v1/token",
                "authorization_endpoint": f"{state.host}/oidc/v1/a",
            }
        if request.path == "/oidc/v1/token":
            return state.token(request)
        if request.path.startswith("/.well-known/"):
            raise ApiError(404, "NOT_FOUND", "no such document")
        state.check_login(request)
        if request.path.startswith(FILES):
            return self._file(request)
        if request.path.startswith(DIRECTORIES) and request.method == "PUT":
            return b""
        body = json.loads(request.body) if request.body else {}
        return state.workspace.answer(request.method, request.path, request.query, body)

    def _file(self, request: Request) -> bytes:
        path = self.server.state.workspace.file(request.path.removeprefix(FILES))
        if request.method == "PUT":
            if path.exists() and request.query.get("overwrite") != "true":
                raise ApiError(409, "ALREADY_EXISTS", "The file being created already exists.")
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{uuid.uuid4().hex}")
            draft.write_bytes(request.body)
            draft.replace(path)
            return b""
        if not path.exists():
            raise ApiError(404, "NOT_FOUND", f"The file {path.name} does not exist.")
        return path.read_bytes()

    def _fail(self, status: int, code: str, message: str, headers: dict[str, str] | None = None) -> None:
        self._send(status, json.dumps({"error_code": code, "message": message}).encode(), headers)

    def _send(self, status: int, content: bytes, headers: dict[str, str] | None = None) -> None:
        self.send_response(status)
        kind = "application/octet-stream" if self.path.startswith(FILES) and status == 200 else "application/json"
        for name, value in {
            "Content-Type": kind,
            "Last-Modified": "Sat, 21 Nov 2026 00:00:00 GMT",
            **(headers or {}),
        }.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)


class _Http(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, state: Server) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.state = state


@contextmanager
def serve(workspace: Workspace) -> Iterator[Server]:
    """The workspace on a port of this machine."""
    state = Server(workspace)
    http = _Http(state)
    state.host = f"http://127.0.0.1:{http.server_port}"
    thread = threading.Thread(target=http.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        with workspace.scheduled():
            yield state
    finally:
        http.shutdown()
        http.server_close()

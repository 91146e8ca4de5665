"""A cluster's gateway as HDInsight has it: TLS and a login before Livy (`/livy`) and YARN (`/yarnui`).

A process of its own, so that it can be killed: `gateway_server.py SETTINGS`, a private JSON file with port,
certificate, key, livy and yarn (host:port each), and either user and password, or the public key of who signs tokens
and the audience that they are for.
"""

from __future__ import annotations

import base64
import hmac
import http.client
import json
import ssl
import sys
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt

_ONE_HOP = {"connection", "keep-alive", "transfer-encoding", "te", "upgrade", "content-length", "host", "authorization"}


def handler(settings: dict[str, Any]) -> type[BaseHTTPRequestHandler]:
    """Answers 401 without the right login, 404 for other paths, 502 when the server behind does not answer."""
    is_let_in, challenge = _token_check(settings) if "audience" in settings else _password_check(settings)

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            body = self.rfile.read(int(self.headers.get("content-length") or 0))
            if not is_let_in(self.headers.get("authorization", "")):
                self._answer(401, [("WWW-Authenticate", challenge)], b"")
            elif self.path.startswith("/livy/"):
                self._pass_on(settings["livy"], self.path.removeprefix("/livy"), body)
            elif self.path.startswith("/yarnui/"):
                self._pass_on(settings["yarn"], self.path.removeprefix("/yarnui"), body)
            else:
                self._answer(404, [], b"")

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names of http.server

        def _pass_on(self, server: str, path: str, body: bytes) -> None:
            connection = http.client.HTTPConnection(server, timeout=60)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in _ONE_HOP}
            try:
                connection.request(self.command, path, body or None, headers)
                answer = connection.getresponse()
                content = answer.read()
            except (OSError, http.client.HTTPException) as error:
                self._answer(502, [], str(error).encode())
                return
            finally:
                connection.close()
            kept = [(name, value) for name, value in answer.getheaders() if name.lower() not in _ONE_HOP]
            self._answer(answer.status, kept, content)

        def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
            self.send_response(status)
            for name, value in [*headers, ("Content-Length", str(len(content)))]:
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(content)

    return Handler


def _password_check(settings: dict[str, Any]) -> tuple[Callable[[str], bool], str]:
    login = base64.b64encode(f"{settings['user']}:{settings['password']}".encode()).decode()
    return lambda given: hmac.compare_digest(given, f"Basic {login}"), 'Basic realm="HDInsight"'


def _token_check(settings: dict[str, Any]) -> tuple[Callable[[str], bool], str]:
    def is_let_in(given: str) -> bool:
        scheme, _, token = given.partition(" ")
        required = {"require": ["exp", "aud"]}
        try:
            jwt.decode(
                token, settings["signed_by"], algorithms=["RS256"], audience=settings["audience"], options=required
            )
        except jwt.InvalidTokenError:
            return False
        return scheme == "Bearer"

    return is_let_in, 'Bearer error="invalid_token"'


def main(settings: dict[str, Any]) -> None:
    """Serves until it is killed."""
    server = ThreadingHTTPServer(("127.0.0.1", settings["port"]), handler(settings))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(settings["certificate"], settings["key"])
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    server.serve_forever()


if __name__ == "__main__":
    main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))

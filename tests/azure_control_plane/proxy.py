"""An HTTPS proxy that keeps host names: TLS ends here, and what a host is asked goes to a function."""

from __future__ import annotations

import json
import ssl
import threading
import urllib.parse
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from tests.azure_control_plane.exchange import Answer, Request

__all__ = ["Site", "proxy"]

Site = Callable[[Request], Answer]


@contextmanager
def proxy(sites: Mapping[str, Site], certificate: Path) -> Iterator[str]:
    """The address of a proxy for HTTP clients. A host that is none of `sites` is refused, so nothing leaves this
    machine; a site `*.domain` answers for every host of the domain."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate)
    handler = type("_Proxy", (_Tunnel,), {"sites": sites, "context": context})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        server.server_close()


class _Tunnel(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    sites: Mapping[str, Site]
    context: ssl.SSLContext

    def do_CONNECT(self) -> None:
        host = self.path.rpartition(":")[0]
        site = self.sites.get(host) or self.sites.get(f"*.{host.partition('.')[2]}")
        self.close_connection = True
        if site is None:
            self.send_error(403, f"{host} is no host of the tests")
            return
        self.send_response(200, "Connection Established")
        self.end_headers()
        try:
            tunnel = self.context.wrap_socket(self.connection, server_side=True)
            _Inside(tunnel, self.client_address, self.server, host, site)
        except OSError:  # the client has gone, or does not trust the certificate: it says so
            return

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: exchanges are recorded."""


class _Inside(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    wbufsize = -1  # an answer is one packet: in two it waits for the client's acknowledgement, 40 ms

    def __init__(self, connection: Any, address: Any, server: Any, host: str, site: Site) -> None:
        self._host, self._site = host, site
        super().__init__(connection, address, server)

    def handle_one_request(self) -> None:
        self.raw_requestline = self.rfile.readline(65537)
        if not self.raw_requestline or not self.parse_request():
            self.close_connection = True
            return
        answer = self._site(self._request())
        if not answer.status:
            self.close_connection = True
            return
        body = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        for name, value in {"Content-Type": "application/json", **answer.headers}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def _request(self) -> Request:
        parts = urllib.parse.urlsplit(self.path)
        headers = {name.lower(): value for name, value in self.headers.items()}
        text = self.rfile.read(int(headers.get("content-length") or 0)).decode()
        is_form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        fields = dict(urllib.parse.parse_qsl(text)) if is_form else None
        body = fields if is_form else json.loads(text) if text else None
        query = dict(urllib.parse.parse_qsl(parts.query))
        return Request(self.command, self._host, urllib.parse.unquote(parts.path), query, headers, body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: exchanges are recorded."""

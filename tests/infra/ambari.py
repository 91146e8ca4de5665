"""A small Ambari with a memory: it keeps configurations by tag, moves a service through its states, and refuses
what Ambari refuses (no X-Requested-By, a tag used twice, a configuration without all of its properties, no login)."""

from __future__ import annotations

import base64
import json
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import parse_qs, urlsplit

LOGIN = base64.b64encode(b"admin:a-password").decode()


class Ambari:
    """One cluster named `c` with Kafka on three brokers. `starts` counts how often Kafka was started as a whole,
    `restarted` has the brokers that were started alone, and `most_down` how many of these were down at once. So many of
    the questions for a path that begins with `unwell_at` are answered 502, as a gateway does that is restarted."""

    def __init__(self, listeners: str = "PLAINTEXT://localhost:9092") -> None:
        self.configs: dict[str, dict[str, dict[str, str]]] = {
            "kafka-broker": {"t1": {"listeners": listeners, "num.io.threads": "8"}},
            "kafka-env": {"t1": {"content": "export KAFKA_HOME=/usr/hdp/current/kafka-broker\n", "user": "kafka"}},
        }
        self.desired = {"kafka-broker": "t1", "kafka-env": "t1"}
        self.state = "STARTED"
        self.started_with = {f"wn{n}-kafka": dict(self.desired) for n in range(3)}
        self.addresses = [f"10.60.0.{4 + n}" for n in range(3)]
        self.down: set[str] = set()
        self.restarted: list[str] = []
        self.most_down = 0
        self.starts = 0
        self.requests: list[list[str]] = []
        self.outcome = "COMPLETED"
        self.unwell_at, self.unwell = "", 0

    def current(self, kind: str) -> dict[str, str]:
        """The desired configuration of a kind."""
        return self.configs[kind][self.desired[kind]]

    def get(self, path: str, query: dict[str, list[str]]) -> Any:
        if path in ("", "/"):
            return {"items": [{"Clusters": {"cluster_name": "c"}}]}
        if path == "/c":
            return {"Clusters": {"desired_configs": {kind: {"tag": tag} for kind, tag in self.desired.items()}}}
        if path == "/c/configurations":
            kind, tag = query["type"][0], query["tag"][0]
            return {"items": [{"type": kind, "tag": tag, "properties": self.configs[kind][tag]}]}
        if path == "/c/host_components":
            items = [self._component(number, host) for number, host in enumerate(sorted(self.started_with))]
            stale = query.get("HostRoles/stale_configs") == ["true"]
            return {"items": [one for one in items if one["HostRoles"]["stale_configs"] or not stale]}
        if path == "/c/services/KAFKA":
            return {"ServiceInfo": {"service_name": "KAFKA", "state": self.state}}
        states = self.requests[int(path.rpartition("/")[2])]
        return {"Requests": {"request_status": states.pop(0) if len(states) > 1 else states[0]}}

    def put(self, path: str, body: Any) -> tuple[int, Any]:
        if path == "/c":
            config = body["Clusters"]["desired_config"]
            kind, tag, properties = config["type"], config["tag"], config["properties"]
            if tag in self.configs[kind] or set(properties) != set(self.current(kind)):
                return 400, {"message": "tag exists, or properties are missing"}
            self.configs[kind][tag] = properties
            self.desired[kind] = tag
            return 200, None
        if path.startswith("/c/hosts/"):
            return self._move(path.split("/")[3], body["Body"]["HostRoles"]["state"])
        wanted = body["Body"]["ServiceInfo"]["state"]
        if wanted == self.state and not (wanted == "STARTED" and self.down):
            return 200, None
        self.state = wanted
        self.down = set() if wanted == "STARTED" else set(self.started_with)
        if wanted == "STARTED":
            self.starts += 1
            self.started_with = {host: dict(self.desired) for host in self.started_with}
        return self._accepted()

    def _component(self, number: int, host: str) -> dict[str, Any]:
        is_stale = self.started_with[host] != self.desired  # of a stopped one too, for all we know
        state = "INSTALLED" if host in self.down else "STARTED"
        return {
            "HostRoles": {"host_name": host, "stale_configs": is_stale, "state": state},
            "host": {"Hosts": {"ip": self.addresses[number]}},
        }

    def _move(self, host: str, state: str) -> tuple[int, Any]:
        """One broker goes down, or comes up with the configuration that is set."""
        if (host in self.down) == (state == "INSTALLED"):
            return 200, None
        if state == "INSTALLED":
            self.down.add(host)
            self.most_down = max(self.most_down, len(self.down))
        else:
            self.down.remove(host)
            self.restarted.append(host)
            self.started_with[host] = dict(self.desired)
        return self._accepted()

    def _accepted(self) -> tuple[int, Any]:
        self.requests.append(["PENDING", "IN_PROGRESS", self.outcome])
        return 202, {"Requests": {"id": len(self.requests) - 1}}


def serve(ambari: Ambari) -> ThreadingHTTPServer:
    """Serves `ambari` on loopback, in a thread, until its shutdown()."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            url = urlsplit(self.path)
            path = url.path.removeprefix("/api/v1/clusters")
            if ambari.unwell and path.startswith(ambari.unwell_at):
                ambari.unwell -= 1
                self._answer(502, {"message": "Bad Gateway"})
            else:
                self._answer(200, ambari.get(path, parse_qs(url.query)))

        def do_PUT(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            if "X-Requested-By" not in self.headers:
                self._answer(400, {"message": "CSRF protection is turned on. X-Requested-By HTTP header is required."})
            else:
                self._answer(*ambari.put(urlsplit(self.path).path.removeprefix("/api/v1/clusters"), body))

        def _answer(self, code: int, body: Any) -> None:
            code = code if self.headers.get("Authorization") == f"Basic {LOGIN}" else 403
            self.send_response(code)
            self.end_headers()
            if body is not None:
                self.wfile.write(json.dumps(body).encode())

        def log_message(self, *_: object) -> None:
            """Stay silent."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    return server

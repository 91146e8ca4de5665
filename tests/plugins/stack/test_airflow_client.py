"""The client of Airflow's API, where Airflow answers as it did under load."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from millrace.stack.airflow_api import AirflowApiError
from millrace.stack.airflow_client import AirflowClient

DAY = datetime(2026, 1, 2, tzinfo=UTC)
# As Airflow 3.3.2 answered with SQLite: in the request itself, and in its log of actions before it.
LOCKED = (503, {"detail": "Database is locked. Backfill creation is not supported on SQLite under concurrent access."})
LOCKED_BEFORE = (500, {"detail": {"reason": "Database error", "statement": "hidden", "orig_error": "hidden"}})
BROKEN = (500, {"detail": "Internal Server Error"})
MADE = (
    200,
    {
        "id": 7,
        "dag_id": "d",
        "from_date": "2026-01-02T00:00:00Z",
        "to_date": "2026-01-02T00:00:00Z",
        "completed_at": None,
        "is_paused": False,
    },
)


@contextmanager
def airflow(*answers: tuple[int, dict[str, Any]]) -> Iterator[tuple[AirflowClient, list[str]]]:
    """Answers requests for backfills in turn; the paths that were asked for."""
    left, asked = list(answers), []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            status, body = (201, {"access_token": "t"}) if self.path == "/auth/token" else left.pop(0)
            content = json.dumps(body).encode()
            self.send_response(status)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Says nothing."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        try:
            yield AirflowClient(f"http://127.0.0.1:{server.server_port}", "admin", "secret"), asked
        finally:
            server.shutdown()


def test_a_backfill_is_asked_for_again_while_the_database_is_locked() -> None:
    with airflow(LOCKED, LOCKED_BEFORE, MADE) as (client, asked):
        assert client.create_backfill("d", DAY, DAY).id == 7
    assert asked == ["/auth/token", *["/api/v2/backfills"] * 3]


def test_another_error_is_told_at_once() -> None:
    with airflow(BROKEN, MADE) as (client, asked), pytest.raises(AirflowApiError, match="was answered 500"):
        client.create_backfill("d", DAY, DAY)
    assert asked == ["/auth/token", "/api/v2/backfills"]

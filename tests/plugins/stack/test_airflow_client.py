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
    """Answers requests for backfills of a paused DAG in turn; the paths that were asked for."""
    with airflow_of(True, *answers) as (client, asked, _):
        yield client, asked


@contextmanager
def airflow_of(is_paused: bool, *answers: tuple[int, dict[str, Any]]) -> Iterator[tuple[AirflowClient, list, list]]:
    """The same of a DAG that may be active; and whether it was paused at each request, and last of all."""
    left, asked, paused = list(answers), [], [is_paused]

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            self.rfile.read(int(self.headers["Content-Length"]))
            asked.append(self.path)
            if self.path == "/auth/token":
                self._answer(201, {"access_token": "t"})
            else:
                paused.append(paused[-1])
                self._answer(*left.pop(0))

        def do_GET(self) -> None:
            self._answer(200, {"is_paused": paused[-1]})

        def do_PATCH(self) -> None:
            paused[-1] = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["is_paused"]
            self._answer(200, {})

        def _answer(self, status: int, body: dict[str, Any]) -> None:
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
            yield AirflowClient(f"http://127.0.0.1:{server.server_port}", "admin", "secret"), asked, paused
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


@pytest.mark.parametrize("is_paused", [True, False])
def test_a_dag_is_paused_while_its_backfill_is_made_and_then_as_it_was(is_paused: bool) -> None:
    with airflow_of(is_paused, LOCKED, MADE) as (client, _, paused):
        client.create_backfill("d", DAY, DAY)
    assert paused == [True, True, is_paused]


def test_a_dag_is_as_it_was_also_where_its_backfill_is_refused() -> None:
    with airflow_of(False, BROKEN) as (client, _, paused), pytest.raises(AirflowApiError):
        client.create_backfill("d", DAY, DAY)
    assert paused == [True, False]

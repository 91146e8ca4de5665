"""The API client logs in when it must and says what was refused."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from jobs.errors import MillraceError
from millrace.stack.airflow_api import AirflowApi, AirflowApiError
from millrace.stack.airflow_client import AirflowClient


class FakeAirflow(ThreadingHTTPServer):
    """Hands out tokens of which only the newest is valid, and knows one DAG, whose runs never end."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.tokens = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def expire_tokens(self) -> None:
        self.tokens += 1


class _Handler(BaseHTTPRequestHandler):
    server: FakeAirflow

    def do_POST(self) -> None:
        sent = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if sent["password"] != "right":
            self._answer(401, {"detail": "Invalid credentials"})
        else:
            self.server.tokens += 1
            self._answer(201, {"access_token": str(self.server.tokens)})

    def do_GET(self) -> None:
        path = self.path.split("?")[0].removeprefix("/api/v2")
        if self.headers["Authorization"] != f"Bearer {self.server.tokens}":
            self._answer(401, {"detail": "Token expired"})
        elif path == "/importErrors":
            self._answer(200, {"import_errors": [{"filename": "broken.py", "stack_trace": "SyntaxError: line 3"}]})
        elif path.startswith("/dags/known/dagRuns/a%2Fb"):
            tasks = [{"task_id": "reprocess", "state": "running", "try_number": 1, "map_index": -1}]
            self._answer(200, {"state": "running", "task_instances": tasks})
        else:
            self._answer(404, {"detail": f"{path} not found"})

    def _answer(self, status: int, body: dict[str, Any]) -> None:
        self.send_response(status)
        self.end_headers()
        self.wfile.write(json.dumps(body).encode())

    def log_message(self, *_: object) -> None:
        """Quiet."""


@pytest.fixture
def airflow() -> Iterator[FakeAirflow]:
    with FakeAirflow() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_an_expired_token_is_fetched_anew(airflow: FakeAirflow) -> None:
    api = AirflowApi(airflow.url, "admin", "right")
    assert api.get("/importErrors")["import_errors"]
    airflow.expire_tokens()
    assert api.get("/importErrors")["import_errors"]


def test_a_wrong_password_is_told(airflow: FakeAirflow) -> None:
    with pytest.raises(AirflowApiError, match=r"/auth/token was answered 401: Invalid credentials"):
        AirflowApi(airflow.url, "admin", "wrong").get("/importErrors")


def test_no_answer_is_told(airflow: FakeAirflow) -> None:
    url = airflow.url.replace(str(airflow.server_address[1]), "1")
    with pytest.raises(AirflowApiError, match=r"got no answer.*millrace status") as refused:
        AirflowApi(url, "admin", "right").get("/importErrors")
    assert refused.value.status == 0


def test_a_dag_that_does_not_appear_is_explained_by_the_import_errors(airflow: FakeAirflow) -> None:
    client = AirflowClient(airflow.url, "admin", "right")
    with pytest.raises(MillraceError, match=r"DAG 'lost': not parsed within 0 s.*broken\.py: SyntaxError"):
        client.await_dag("lost", timedelta(0))


def test_a_run_that_does_not_end_is_explained_by_its_tasks(airflow: FakeAirflow) -> None:
    client = AirflowClient(airflow.url, "admin", "right")
    with pytest.raises(MillraceError, match=r"run 'a/b' of 'known': still running after 0 s \(reprocess running\)"):
        client.await_run("known", "a/b", timedelta(0))

"""The proxy does what its rules say, and nothing else: before a small HTTP server instead of Azurite."""

from __future__ import annotations

import http.client
import threading
from collections.abc import Iterator
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from tests.faults.proxy import Proxy
from tests.faults.rules import Answered, Refused, Reset, Unruly, Verdict

SOON = timedelta(seconds=10)


class Storage(ThreadingHTTPServer):
    """Remembers what was put, by path."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.blobs: dict[str, bytes] = {}


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Storage

    def do_PUT(self) -> None:
        self.server.blobs[self.path] = self.rfile.read(int(self.headers["Content-Length"]))
        self._answer(201, b"")

    def do_GET(self) -> None:
        blob = self.server.blobs.get(self.path)
        self._answer(200 if blob is not None else 404, blob or b"")

    def _answer(self, status: int, content: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        """Says nothing."""


@pytest.fixture
def storage() -> Iterator[Storage]:
    with Storage() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.05,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()


@pytest.fixture(scope="module")
def proxy_process() -> Iterator[tuple[Proxy, int]]:
    proxy = Proxy()
    try:
        yield proxy, proxy.start()
    finally:
        proxy.stop()


@pytest.fixture
def proxy(proxy_process: tuple[Proxy, int], storage: Storage) -> Iterator[Proxy]:
    proxy, _ = proxy_process
    proxy.listen(storage.server_address[1])
    yield proxy
    proxy.refuse_connections()


@pytest.fixture
def port(proxy: Proxy, proxy_process: tuple[Proxy, int]) -> int:
    return proxy_process[1]


def ask(port: int, method: str, path: str, body: bytes | None = None) -> tuple[int, bytes]:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, f"/account/container/{path}", body)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()


def only(verdict: Verdict) -> Unruly:
    return Unruly(0, 1.0, (verdict,))


def test_what_no_rule_names_passes_unchanged(port: int, storage: Storage) -> None:
    content = bytes(range(256)) * 8_000
    assert ask(port, "PUT", "a/b", content) == (201, b"")
    assert storage.blobs == {"/account/container/a/b": content}
    assert ask(port, "GET", "a/b") == (200, content)
    assert ask(port, "GET", "c") == (404, b"")


def test_a_refused_request_never_reaches_the_storage(proxy: Proxy, port: int, storage: Storage) -> None:
    with proxy.rule(only(Refused())) as seen:
        status, content = ask(port, "PUT", "a", b"text")
        assert (status, b"ServerBusy" in content) == (503, True)
        assert (seen().asked, seen().given) == (1, {"refused": 1})
    assert storage.blobs == {}
    assert ask(port, "PUT", "a", b"text")[0] == 201


def test_a_reset_comes_before_the_storage_and_a_lost_answer_after_it(proxy: Proxy, port: int, storage: Storage) -> None:
    with proxy.rule(only(Reset())), pytest.raises(ConnectionResetError):
        ask(port, "PUT", "a", b"text")
    assert storage.blobs == {}
    with proxy.rule(only(Answered())), pytest.raises(ConnectionResetError):
        ask(port, "PUT", "a", b"text")
    assert storage.blobs == {"/account/container/a": b"text"}


def test_a_trap_holds_what_matches_until_it_is_released(proxy: Proxy, port: int, storage: Storage) -> None:
    answers: list[int] = []
    with proxy.trap("PUT", r"/_delta_log/\d+\.json$") as trap:
        assert ask(port, "PUT", "t/data.parquet", b"rows")[0] == 201
        held = threading.Thread(target=lambda: answers.append(ask(port, "PUT", "t/_delta_log/1.json", b"commit")[0]))
        held.start()
        assert trap.await_request(SOON) == "t/_delta_log/1.json"
        assert (list(storage.blobs), answers) == (["/account/container/t/data.parquet"], [])
        trap.release()
        held.join()
    assert answers == [201]
    assert "/account/container/t/_delta_log/1.json" in storage.blobs


@pytest.mark.parametrize("after", [False, True])
def test_what_a_trap_holds_at_its_end_is_dropped(proxy: Proxy, port: int, storage: Storage, after: bool) -> None:
    errors: list[Exception] = []

    def put() -> None:
        try:
            ask(port, "PUT", "a", b"text")
        except OSError as error:
            errors.append(error)

    with proxy.trap(None, "", after=after) as trap:
        held = threading.Thread(target=put)
        held.start()
        trap.await_request(SOON)
    held.join()
    assert [type(error) for error in errors] == [ConnectionResetError]
    assert storage.blobs == ({"/account/container/a": b"text"} if after else {})


def test_a_trap_that_catches_nothing_says_what_it_waited_for(proxy: Proxy) -> None:
    with proxy.trap("PUT", "never") as trap, pytest.raises(AssertionError, match="no PUT never"):
        trap.await_request(timedelta(seconds=0.2))


def test_a_storage_that_is_down_refuses_connections(proxy: Proxy, port: int, storage: Storage) -> None:
    proxy.refuse_connections()
    with pytest.raises(ConnectionRefusedError):
        ask(port, "GET", "a")
    proxy.listen(storage.server_address[1])
    assert ask(port, "GET", "a")[0] == 404

"""Livy or the gateway dies while a submission is under way: submitted again, it is one job. The gateway is the process
of the conformance tests; Livy and YARN are in this process, which knows what reached them, and decides their fate.
"""

from __future__ import annotations

import json
import signal
import socket
import subprocess
import sys
import time
import urllib.parse
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

import httpx
import pytest

from millrace.credentials import Login
from millrace.environment import Environment
from millrace.home import Home
from millrace.platforms.hdinsight import HdinsightPlatform
from millrace.platforms.hdinsight_gateway import Gateway
from millrace.platforms.hdinsight_login import BasicLogin
from millrace.platforms.hdinsight_settings import HdinsightSettings
from millrace.platforms.hdinsight_store import JobStore
from millrace.platforms.protocol import JobState
from millrace.stack.containers import ensure_container
from millrace.stack.settings import ports_for
from millrace.waiting import until
from tests.conformance import gateway_server
from tests.conformance.certificates import Certificates, make_certificates
from tests.plugins.platforms.test_hdinsight import JOB, on_hdinsight
from tests.plugins.platforms.test_hdinsight_login import serving

pytestmark = [pytest.mark.stack, pytest.mark.timeout(300)]

LOGIN = {"user": "millrace", "password": "a-Secret"}
PATIENCE = timedelta(seconds=60)


@dataclass
class Cluster:
    """What came to Livy, and what YARN knows. `fate` is what happens to the submission whose batch Livy has noted, and
    says whether it is answered."""

    certificates: Certificates
    port: int
    behind: str = ""
    submitted: list[dict[str, Any]] = field(default_factory=list)
    batches: dict[int, dict[str, Any]] = field(default_factory=dict)
    applications: list[dict[str, Any]] = field(default_factory=list)
    fate: Callable[[], bool] = lambda: True
    gateway: subprocess.Popen[bytes] | None = None

    def start_gateway(self) -> None:
        told = {"certificate": str(self.certificates.certificate), "key": str(self.certificates.key), **LOGIN}
        settings = self.certificates.ca.with_name("gateway.json")
        settings.write_text(json.dumps({"port": self.port, "livy": self.behind, "yarn": self.behind, **told}))
        self.gateway = subprocess.Popen([sys.executable, gateway_server.__file__, str(settings)])
        assert until(self._listens, PATIENCE)

    def kill_gateway(self) -> None:
        assert self.gateway is not None
        self.gateway.send_signal(signal.SIGKILL)
        assert self.gateway.wait(30) == -signal.SIGKILL

    def reach_yarn(self) -> None:
        """What Livy handed to a process of its own arrives, whether or not Livy lives."""
        for body in self.submitted:
            tag = body["conf"]["spark.yarn.tags"].rpartition(",")[2]
            self.applications.append(
                {"id": "application_1_1", "state": "RUNNING", "finalStatus": "UNDEFINED", "tag": tag}
            )

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: Any) -> tuple[int, Any] | None:
        """Status and JSON; None closes the connection without an answer."""
        if path == "/ws/v1/cluster/apps":
            found = [one for one in self.applications if one["tag"] in query["applicationTags"]]
            return 200, {"apps": {"app": found} if found else None}
        if method == "PUT":
            (killed,) = [one for one in self.applications if one["id"] == path.split("/")[-2]]
            killed.update(state=body["state"], finalStatus=body["state"], finishedTime=time.time() * 1000)
            return 202, body
        if method == "POST":
            number = len(self.submitted)
            self.submitted.append(body)
            self.batches[number] = {"id": number, "name": body["name"], "state": "starting"}
            return (201, self.batches.get(number)) if self.fate() else None
        if path == "/batches":
            return 200, {"from": 0, "total": len(self.batches), "sessions": list(self.batches.values())}
        number = int(path.rpartition("/")[2])
        batch = self.batches.pop(number, None) if method == "DELETE" else self.batches.get(number)
        return (200, batch) if batch else (404, {"msg": "Session not found."})

    def _listens(self) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", self.port)) == 0


@pytest.fixture
def cluster(tmp_path: Path) -> Iterator[Cluster]:
    port = ports_for(Home(tmp_path / "home"), "gateway", ["port"])["port"]
    cluster = Cluster(make_certificates(tmp_path), port)

    class Behind(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            text = self.rfile.read(int(self.headers.get("content-length") or 0))
            url = urllib.parse.urlsplit(self.path)
            told = cluster.answer(
                self.command, url.path, urllib.parse.parse_qs(url.query), json.loads(text) if text else None
            )
            if told is None:
                self.close_connection = True
                return
            content = json.dumps(told[1]).encode()
            self.send_response(told[0])
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        do_POST = do_PUT = do_DELETE = do_GET  # noqa: N815 - the names of http.server

    with serving(Behind) as behind:
        cluster.behind = behind
        cluster.start_gateway()
        yield cluster
        if cluster.gateway and cluster.gateway.poll() is None:
            cluster.kill_gateway()


@pytest.fixture
def platform(cluster: Cluster, environment: Environment) -> HdinsightPlatform:
    ensure_container(environment)
    azure = on_hdinsight(environment, gateway=f"https://localhost:{cluster.port}")
    login = BasicLogin(lambda: Login(LOGIN["user"], LOGIN["password"]))
    settings = HdinsightSettings.of(azure)
    gateway = Gateway(settings.gateway, login, str(cluster.certificates.ca))
    store = JobStore(azure, environment.storage.container, f"cluster/{uuid.uuid4().hex}")
    return HdinsightPlatform(azure, settings, gateway, store)


def submit_in_vain(platform: HdinsightPlatform) -> None:
    with pytest.raises(httpx.HTTPError):
        platform.submit(JOB)


def test_livy_that_dies_with_a_submission_is_not_asked_to_start_a_second_job(
    cluster: Cluster, platform: HdinsightPlatform
) -> None:
    cluster.fate = die_of(cluster)
    submit_in_vain(platform)
    assert len(cluster.submitted) == 1
    cluster.fate = lambda: True
    again = platform.submit(JOB)
    assert platform.state(again.id).state is JobState.RUNNING, "it may be on its way to YARN yet"
    cluster.reach_yarn()
    assert platform.submit(JOB) == again
    assert platform.live_jobs() == [again]
    assert len(cluster.submitted) == 1


def test_a_gateway_killed_before_it_answers_a_submission_leaves_one_job(
    cluster: Cluster, platform: HdinsightPlatform
) -> None:
    def kill() -> bool:
        cluster.kill_gateway()
        return True

    cluster.fate = kill
    submit_in_vain(platform)
    submit_in_vain(platform)  # while nothing listens
    cluster.start_gateway()
    cluster.reach_yarn()
    again = platform.submit(JOB)
    assert (again.owner, again.arguments) == (JOB.owner, JOB.arguments)
    assert platform.live_jobs() == [again]
    assert len(cluster.submitted) == 1


def test_a_submission_that_never_reached_yarn_is_lost_after_minutes_and_made_again(
    cluster: Cluster, platform: HdinsightPlatform
) -> None:
    cluster.fate = die_of(cluster)
    submit_in_vain(platform)
    first = platform.submit(JOB)
    assert len(cluster.submitted) == 1
    age(platform, first.id, timedelta(minutes=2, seconds=50))
    assert platform.state(first.id).state is JobState.RUNNING
    age(platform, first.id, timedelta(minutes=3, seconds=1))
    assert platform.state(first.id).state is JobState.LOST
    cluster.fate = lambda: True
    second = platform.submit(JOB)
    assert second.id != first.id
    assert platform.live_jobs() == [second]
    assert len(cluster.submitted) == 2


def test_a_gateway_that_no_submission_reached_leaves_none(cluster: Cluster, platform: HdinsightPlatform) -> None:
    """Livy is asked first; what dies after that, and before the submission, has begun nothing."""
    cluster.kill_gateway()
    submit_in_vain(platform)
    assert platform.store.job_ids() == []
    cluster.start_gateway()
    started = platform.submit(JOB)
    assert platform.live_jobs() == [started]
    assert len(cluster.submitted) == 1


def test_a_cancelled_submission_that_livy_has_forgotten_is_killed_when_it_reaches_yarn(
    cluster: Cluster, platform: HdinsightPlatform
) -> None:
    running = platform.submit(JOB)
    cluster.batches.clear()  # Livy dies, and is there again
    with ThreadPoolExecutor(1) as pool:
        cancelled = cancelling(pool, platform, running.id)
        assert platform.state(running.id).state is JobState.RUNNING, "it may be on its way to YARN yet"
        assert not cancelled.done()
        cluster.reach_yarn()
        cancelled.result(PATIENCE.total_seconds())
    assert [one["state"] for one in cluster.applications] == ["KILLED"]
    assert platform.state(running.id).state is JobState.CANCELLED
    assert platform.live_jobs() == []


def test_a_cancelled_submission_that_never_reaches_yarn_is_cancelled_after_minutes(
    cluster: Cluster, platform: HdinsightPlatform
) -> None:
    cluster.fate = die_of(cluster)
    submit_in_vain(platform)
    job_id = platform.submit(JOB).id
    with ThreadPoolExecutor(1) as pool:
        cancelled = cancelling(pool, platform, job_id)
        age(platform, job_id, timedelta(minutes=2, seconds=50))
        assert platform.state(job_id).state is JobState.RUNNING
        age(platform, job_id, timedelta(minutes=3, seconds=1))
        cancelled.result(PATIENCE.total_seconds())
    assert platform.state(job_id).state is JobState.CANCELLED


def test_a_submission_whose_batch_livy_deletes_is_cancelled_at_once(
    cluster: Cluster, platform: HdinsightPlatform
) -> None:
    running = platform.submit(JOB)
    before = time.monotonic()
    platform.cancel(running.id, timedelta(0))
    assert platform.state(running.id).state is JobState.CANCELLED
    assert cluster.batches == {}
    assert time.monotonic() - before < 30


def cancelling(pool: ThreadPoolExecutor, platform: HdinsightPlatform, job_id: str) -> Future[None]:
    """A cancellation that has begun."""
    cancelled = pool.submit(platform.cancel, job_id, timedelta(0))
    assert until(lambda: bool(platform.store.read_json(f"jobs/{job_id}/cancel.json")), PATIENCE)
    return cancelled


def die_of(cluster: Cluster) -> Callable[[], bool]:
    """Livy's end, before it answers: its batches are forgotten with it."""

    def die() -> bool:
        cluster.batches.clear()
        return False

    return die


def age(platform: HdinsightPlatform, job_id: str, since: timedelta) -> None:
    """As if it had been submitted so long ago."""
    path = f"jobs/{job_id}/job.json"
    submitted = {"submitted_at": (datetime.now(UTC) - since).isoformat()}
    platform.store.write_json(path, platform.store.read_json(path) | submitted)

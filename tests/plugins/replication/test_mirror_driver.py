"""The program around MirrorMaker, with a small Python program in the JVM's place."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

from millrace.replication import mirror_driver

BUSY = "import time; print('Kafka MirrorMaker started', flush=True); time.sleep(600)"
FAILURES = {
    "task": "ERROR WorkerTask: WorkerSourceTask{id=MirrorSourceConnector-0} Task threw an uncaught and unrecoverable"
    " exception. Task is being killed and will not recover until manually restarted",
    "connector": "ERROR WorkerConnector: [MirrorSourceConnector|worker] Error while starting connector",
    "login": "ERROR NetworkClient: [AdminClient clientId=replication-source-admin] Connection to node -1"
    " (localhost/127.0.0.1:9093) failed authentication due to: Authentication failed: Invalid username or password",
    "right": "org.apache.kafka.common.errors.TopicAuthorizationException: Not authorized to access topics: [ticks]",
}


class Driven:
    def __init__(self, folder: Path, script: str) -> None:
        self.stop, self.secrets = folder / "stop.json", folder / "secrets"
        self.secrets.write_text("secret")
        driver = [sys.executable, "-I", "-S", mirror_driver.__file__, str(self.stop), "me.1", str(self.secrets)]
        self.process = subprocess.Popen([*driver, sys.executable, "-c", script], stdout=subprocess.PIPE, text=True)

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().strip()

    def end(self) -> tuple[int, str]:
        told, _ = self.process.communicate(timeout=20)
        assert not self.secrets.exists()
        return self.process.returncode, told


@pytest.mark.parametrize("owner", ["me.1", "*"])
def test_it_stops_on_request_and_that_is_a_success(tmp_path: Path, owner: str) -> None:
    driven = Driven(tmp_path, BUSY)
    assert driven.line() == "Kafka MirrorMaker started"
    driven.stop.write_text(json.dumps({"owner": owner}))
    code, told = driven.end()
    assert (code, told.strip()) == (0, "stopped on request")


def test_a_request_for_another_owner_and_half_a_file_are_left_alone(tmp_path: Path) -> None:
    driven = Driven(tmp_path, BUSY)
    driven.line()
    for text in ('{"owner": "other.1"}', "{"):
        driven.stop.write_text(text)
        time.sleep(2 * mirror_driver._POLL_S)
        assert driven.process.poll() is None
    driven.process.terminate()
    assert driven.end()[0] == 128 + 15


@pytest.mark.parametrize("line", FAILURES.values(), ids=FAILURES)
def test_a_part_that_fails_ends_the_whole(tmp_path: Path, line: str) -> None:
    """As MirrorMaker 4.3.1 writes it; it would run on."""
    code, told = Driven(tmp_path, f"import time; print({line!r}, flush=True); time.sleep(600)").end()
    assert code == 1
    assert told.splitlines() == [line, f"millrace: a part of MirrorMaker failed, and the rest is ended: {line}"]


@pytest.mark.parametrize(("ends", "code"), [("os._exit(0)", 0), ("os._exit(3)", 1), ("os.kill(os.getpid(), 9)", 137)])
def test_codes_that_mean_something_else_to_supervisors_are_not_passed_on(tmp_path: Path, ends: str, code: int) -> None:
    assert Driven(tmp_path, f"import os; {ends}").end()[0] == code

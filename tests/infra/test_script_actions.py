"""The script actions, run as they are: IP advertising against an Ambari with a memory, packages with a real pip."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import zipfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import pytest

from millrace.azure.arm import TEMPLATES
from tests.infra.ambari import Ambari, serve

SCRIPTS = TEMPLATES / "scripts"
pytestmark = pytest.mark.skipif(
    not shutil.which("curl") and "CI" not in os.environ, reason="the scripts need curl, as clusters have it"
)


def run(script: str, *arguments: str, **env: str) -> subprocess.CompletedProcess[str]:
    command = [str(SCRIPTS / script), *arguments]
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"  # python3 itself, and no shim
    whole = os.environ | {"PATH": path} | env
    return subprocess.run(command, env=whole, text=True, capture_output=True, check=False, timeout=60)


@pytest.fixture
def ambari() -> Ambari:
    return Ambari()


@pytest.fixture
def node(ambari: Ambari, tmp_path: Path) -> Iterator[dict[str, str]]:
    """The script's environment on a head node."""
    server = serve(ambari)
    netrc = tmp_path / "netrc"
    netrc.write_text("machine 127.0.0.1 login admin password a-password\n", encoding="utf-8")
    url = f"http://127.0.0.1:{server.server_address[1]}"
    yield {"AMBARI_URL": url, "AMBARI_NETRC": str(netrc), "POLL_S": "0.01"}
    server.shutdown()
    server.server_close()


def test_brokers_listen_everywhere_and_advertise_after_one_restart(ambari: Ambari, node: dict[str, str]) -> None:
    done = run("advertise_addresses.sh", **node)
    assert done.returncode == 0, done.stderr
    assert ambari.current("kafka-broker") == {"listeners": "PLAINTEXT://0.0.0.0:9092", "num.io.threads": "8"}
    assert ambari.current("kafka-env")["content"].startswith("export KAFKA_HOME=/usr/hdp/current/kafka-broker\n# mill")
    assert (ambari.state, ambari.starts) == ("STARTED", 1)


def test_a_second_run_changes_and_restarts_nothing(ambari: Ambari, node: dict[str, str]) -> None:
    run("advertise_addresses.sh", **node)
    before = dict(ambari.desired)
    done = run("advertise_addresses.sh", **node)
    assert done.returncode == 0, done.stderr
    assert "kafka-env: as it should be" in done.stdout
    assert (ambari.desired, ambari.starts) == (before, 1)


def test_a_run_cut_short_between_the_two_settings_is_finished_by_the_next(ambari: Ambari, node: dict[str, str]) -> None:
    run("advertise_addresses.sh", **node)
    ambari.desired["kafka-env"] = "t1"
    assert run("advertise_addresses.sh", **node).returncode == 0
    assert "advertised" in ambari.current("kafka-env")["content"]
    assert ambari.starts == 2


@pytest.mark.parametrize("state", ["STARTED", "INSTALLED"])
def test_a_run_cut_short_before_or_amid_the_restart_is_finished_by_the_next(
    ambari: Ambari, node: dict[str, str], state: str
) -> None:
    run("advertise_addresses.sh", **node)
    ambari.started_with["wn1-kafka"]["kafka-env"] = "t1"
    ambari.state = state
    ambari.down = set() if state == "STARTED" else set(ambari.started_with)
    assert run("advertise_addresses.sh", **node).returncode == 0
    assert (ambari.state, ambari.starts) == ("STARTED", 2)


def test_a_broker_that_is_down_is_started_though_the_service_is_called_started(
    ambari: Ambari, node: dict[str, str]
) -> None:
    run("advertise_addresses.sh", **node)
    ambari.down = {"wn2-kafka"}
    assert run("advertise_addresses.sh", **node).returncode == 0
    assert (ambari.down, ambari.starts) == (set(), 2)


def test_a_failed_restart_fails_the_script_and_says_where_to_look(ambari: Ambari, node: dict[str, str]) -> None:
    ambari.outcome = "FAILED"
    done = run("advertise_addresses.sh", **node)
    assert done.returncode == 1
    assert "Kafka to INSTALLED: FAILED; see request 0 in Ambari" in done.stderr


def test_a_wrong_login_fails_the_script_and_is_not_shown(node: dict[str, str]) -> None:
    Path(node["AMBARI_NETRC"]).write_text("machine 127.0.0.1 login admin password wrong-one\n", encoding="utf-8")
    done = run("advertise_addresses.sh", **node)
    assert done.returncode != 0
    assert "wrong-one" not in done.stdout + done.stderr


def test_a_broker_advertises_its_address_on_every_listener_however_often_it_starts(tmp_path: Path) -> None:
    properties = tmp_path / "server.properties"
    listeners = "PLAINTEXT://0.0.0.0:9092,SASL_SSL://0.0.0.0:9093"
    fragment = run("advertise_addresses.sh", "fragment").stdout
    assert not [mark for mark in ("{{", "{%", "{#") if mark in fragment]  # Jinja's
    address = subprocess.run(["hostname", "-I"], text=True, capture_output=True, check=True).stdout.split()
    properties.write_text(f"listeners={listeners}\nadvertised.listeners=PLAINTEXT://wn0:9092\nport=9092\n")
    for _ in range(2):
        subprocess.run(
            ["bash", "-eu", "-c", fragment], env=os.environ | {"KAFKA_PROPERTIES": str(properties)}, check=True
        )
    expected = listeners.replace("0.0.0.0", address[0] if address else "")
    assert properties.read_text().splitlines() == [
        f"listeners={listeners}",
        "port=9092",
        f"advertised.listeners={expected}",
    ]


def packages(folder: Path, name: str, digest: str = "") -> Path:
    """An archive with the wheel of a module `name`, and a lock file with its hash, or with `digest`."""
    wheels = folder / "wheels"
    wheels.mkdir()
    wheel = wheels / f"{name}-1.0-py3-none-any.whl"
    info = f"{name}-1.0.dist-info"
    with zipfile.ZipFile(wheel, "w") as out:
        out.writestr(f"{name}.py", "ANSWER = 42\n")
        out.writestr(f"{info}/METADATA", f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
        out.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        out.writestr(f"{info}/RECORD", "")
    lock = folder / "requirements.txt"
    lock.write_text(f"{name}==1.0 --hash=sha256:{digest or sha256(wheel.read_bytes()).hexdigest()}\n")
    archive = folder / "packages.tar.gz"
    with tarfile.open(archive, "w:gz") as out:
        out.add(wheels, "wheels")
        out.add(lock, "requirements.txt")
    return archive


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    env = tmp_path_factory.mktemp("node") / "env"
    subprocess.run([sys.executable, "-m", "venv", str(env)], check=True)
    return env / "bin" / "python"


def test_packages_are_installed_from_storage_without_an_index_twice(tmp_path: Path, python: Path) -> None:
    archive = packages(tmp_path, "mr_probe")
    for _ in range(2):
        done = run("install_packages.sh", str(archive), PYTHON=str(python), FETCH="cp")
        assert done.returncode == 0, done.stderr
    told = subprocess.run(
        [python, "-c", "import mr_probe; print(mr_probe.ANSWER)"], capture_output=True, text=True, check=True
    )
    assert told.stdout == "42\n"


def test_a_package_that_is_not_the_locked_one_is_refused(tmp_path: Path, python: Path) -> None:
    done = run("install_packages.sh", str(packages(tmp_path, "mr_forged", "0" * 64)), PYTHON=str(python), FETCH="cp")
    assert done.returncode != 0
    assert "THESE PACKAGES DO NOT MATCH THE HASHES" in done.stderr

"""Packages for the nodes of Spark clusters: uploaded to a real Azurite, installed by the script that clusters run."""

from __future__ import annotations

import tarfile
import uuid
from pathlib import Path

import pytest

from jobs.errors import UsageError
from millrace.azure.packages import packages_action
from millrace.environment import Environment
from millrace.platforms.hdinsight_store import JobStore
from millrace.stack.containers import ensure_container
from tests.infra.test_script_actions import SCRIPTS, packages


def archive(folder: Path, wheel: str, requirements: str = "mr_probe==1.0 --hash=sha256:00") -> Path:
    (folder / "wheels").mkdir(exist_ok=True)
    (folder / "wheels" / wheel).touch()
    (folder / "requirements.txt").write_bytes(f"# locked\n{requirements}\n".encode(errors="surrogateescape"))
    with tarfile.open(folder / "own.tar.gz", "w:gz") as out:
        out.add(folder / "requirements.txt", "./requirements.txt")
        out.add(folder / "wheels", "./wheels")
    return folder / "own.tar.gz"


def test_archive_and_script_are_uploaded_once_and_named_by_their_content(
    environment: Environment, tmp_path: Path
) -> None:
    ensure_container(environment)
    path = f"packages-{uuid.uuid4().hex}"
    store = JobStore(environment, environment.storage.container, path)
    file = packages(tmp_path, "mr_probe")
    action = packages_action(file, store)
    assert action == packages_action(file, store)
    base = f"{environment.storage.uri(environment.storage.container, path)}/"
    assert store.read(action["parameters"].removeprefix(base)) == file.read_bytes()
    assert store.read(action["uri"].removeprefix(base)) == (SCRIPTS / "install_packages.sh").read_bytes()
    assert action["name"].removeprefix("packages-") in action["parameters"]


@pytest.mark.parametrize(
    ("wheel", "requirements", "complaint"),
    [
        ("a-1.0-cp311-cp311-manylinux2014_x86_64.whl", "a==1.0 --hash=sha256:00", "cp311.*is for another Python"),
        ("a-1.0-cp39-abi3-manylinux2014_x86_64.whl", "a==1.0 --hash=sha256:00", "is for another Python"),
        ("a-1.0-cp38-cp38-macosx_11_0_arm64.whl", "a==1.0 --hash=sha256:00", "is for another Python"),
        ("foo.whl", "a==1.0 --hash=sha256:00", "foo.whl is for another Python, or not named as a wheel is"),
        ("py3-none-any.whl", "a==1.0 --hash=sha256:00", "not named as a wheel is"),
        (
            "a-1.0-py3-none-any.whl",
            "a==1.0 --hash=sha256:00  # \udcfc",
            "requirements.txt is not UTF-8: .*; save it as that",
        ),
        ("a-1.0-py3-none-any.whl", "a==1.0", "has 'a==1.0' without a hash"),
        ("a-1.0.tar.gz", "a==1.0 --hash=sha256:00", r"it needs requirements.txt and wheels/\*.whl"),
        ("a-1.0-py3-none-any.whl", "", r"it needs requirements.txt and wheels/\*.whl"),
    ],
)
def test_what_the_script_would_refuse_on_the_nodes_is_refused_here(
    tmp_path: Path, wheel: str, requirements: str, complaint: str
) -> None:
    nowhere: JobStore = None  # type: ignore[assignment]  # nothing is uploaded
    with pytest.raises(UsageError, match=complaint):
        packages_action(archive(tmp_path, wheel, requirements), nowhere)
    with pytest.raises(UsageError, match=r"no \.tar\.gz that can be read"):
        packages_action(tmp_path / "requirements.txt", nowhere)

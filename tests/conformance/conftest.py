"""The cluster, a Kafka that asks for a login, a storage account, and the environment that names them: one of each per
file of tests, in a folder of their own and on free ports; nothing of them is left after it."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.credentials import Login
from millrace.environment import Environment, StorageAccount, load_environment
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.azurite import ACCOUNT, account_key_file, blob_endpoint, start_azurite
from millrace.stack.lifecycle import down
from millrace.stack.private_file import write_private
from tests.conformance.certificates import Certificates, make_certificates
from tests.conformance.cluster import QUICK, USER, Cluster
from tests.conformance.secure_kafka import start_secure_kafka
from tests.conformance.software import missing

WHOLE = "MILLRACE_CONFORMANCE"
# Half of a short job's processor time would go into the JVM's second compiler.
SHORT_LIVED = "\n".join(f'"spark.{who}.extraJavaOptions" = "{" ".join(QUICK)}"' for who in ("driver", "executor"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """All of it takes many minutes: only `make conformance` asks for that, and other runs have a short form.

    What cannot run is left out, but for CI: there it fails.
    """
    here = [item for item in items if "conformance" in Path(str(item.fspath)).parts]
    lacking = missing() if here else None
    for item in here:
        is_short = item.path.name == "test_short_form.py"
        if lacking and "CI" not in os.environ:
            item.add_marker(pytest.mark.skip(reason=lacking))
        elif is_short and WHOLE in os.environ:
            item.add_marker(pytest.mark.skip(reason="all of it runs anyway"))
        elif not is_short and WHOLE not in os.environ:
            item.add_marker(pytest.mark.skip(reason="run by `make conformance`"))


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Before any server is started for it."""
    if lacking := missing():
        pytest.fail(f"CI does without nothing: {lacking}", pytrace=False)


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Home]:
    """The folder of everything that runs here; it is also where connections are looked up."""
    home = Home(tmp_path_factory.mktemp("rig") / "home")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_HOME", str(home.root))
        try:
            yield home
        finally:
            down(home)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="module")
def storage(rig: Home) -> StorageAccount:
    """An account with the containers of the lake and of the cluster's own file system."""
    start_azurite(rig)
    storage = StorageAccount(ACCOUNT, "lake", blob_endpoint(rig), account_key_file(rig))
    with storage.blob_service() as service:
        for container in ("lake", "spark"):
            service.create_container(container)
    return storage


@pytest.fixture(scope="module")
def passwords(rig: Home, storage: StorageAccount) -> dict[str, str]:
    """Of the connections of this run, which lie in private files: the gateway's, Kafka's, and the lake's key."""
    found = {"gateway": secrets.token_urlsafe(24), "kafka": secrets.token_urlsafe(24), "lake": storage.account_key()}
    for name, password in found.items():
        path = rig.secrets / "connections" / f"{name}.json"
        write_private(path, json.dumps({"login": USER, "password": password}))
    return found


@pytest.fixture(scope="module")
def secure_kafka(rig: Home, certificates: Certificates, passwords: dict[str, str]) -> str:
    """HOST:PORT of the broker."""
    return start_secure_kafka(rig, certificates, USER, passwords["kafka"]).by_login


@pytest.fixture(scope="module")
def cluster(rig: Home, storage: StorageAccount, certificates: Certificates, passwords: dict[str, str]) -> Cluster:
    cluster = Cluster(rig, storage, certificates, Login(USER, passwords["gateway"]))
    cluster.start()
    return cluster


@pytest.fixture(scope="module")
def hdinsight(cluster: Cluster, storage: StorageAccount, certificates: Certificates, secure_kafka: str) -> Environment:
    """The environment file that ships, filled in as its comments say."""
    text = (PROJECT_ROOT / "infra" / "environments" / "hdinsight.toml").read_text()
    filled = {
        'account = ""': f'account = "{storage.account_name}"\nblob_endpoint = "{storage.blob_endpoint}"',
        '# key_connection = "millrace_lake"': 'key_connection = "lake"',
        '[kafka]\nbootstrap = ""': f'[kafka]\nbootstrap = "{secure_kafka}"\n"ssl.ca.location" = "{certificates.ca}"',
        '# connection = "millrace_kafka"': 'connection = "kafka"',
        'cluster = ""': f'cluster = "conformance"\ngateway = "{cluster.url}"\nca_file = "{certificates.ca}"',
        'connection = "millrace_hdinsight"': f'connection = "gateway"\npython = "{cluster.python}"',
        '"spark.driver.memory" = "2g"': '"spark.driver.memory" = "1g"',
        '"spark.executor.memory" = "4g"': '"spark.executor.memory" = "1g"',
        '"spark.sql.shuffle.partitions" = "4"': f'"spark.sql.shuffle.partitions" = "2"\n{SHORT_LIVED}',
    }
    for before, after in filled.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    folder = certificates.ca.parent / "environments"
    folder.mkdir()
    (folder / "hdinsight.toml").write_text(text)
    return load_environment("hdinsight", folder=folder)

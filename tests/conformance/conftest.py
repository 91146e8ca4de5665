"""The cluster, a Kafka that asks for a login, and the environment that names them: one of each per run."""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest

from millrace.credentials import Login
from millrace.environment import Environment, load_environment
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.private_file import write_private
from tests.conformance.certificates import Certificates, make_certificates
from tests.conformance.cluster import Cluster
from tests.conformance.secure_kafka import start_secure_kafka

USER = "millrace"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """They take many minutes and 8 GB: only `make conformance` asks for them."""
    here = [item for item in items if "conformance" in Path(str(item.fspath)).parts]
    for item in here if "MILLRACE_CONFORMANCE" not in os.environ else []:
        item.add_marker(pytest.mark.skip(reason="run by `make conformance`"))


@pytest.fixture(scope="session")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return make_certificates(tmp_path_factory.mktemp("tls"))


@pytest.fixture(scope="session")
def passwords(stack: Home) -> dict[str, str]:
    """Of the connections of this run, which lie in private files: the gateway's, Kafka's, and the lake's key."""
    key = (stack.secrets / "azurite.key").read_text().strip()
    found = {"gateway": secrets.token_urlsafe(24), "kafka": secrets.token_urlsafe(24), "lake": key}
    for name, password in found.items():
        path = stack.secrets / "connections" / f"{name}.json"
        write_private(path, json.dumps({"login": USER, "password": password}))
    return found


@pytest.fixture(scope="session")
def secure_kafka(stack: Home, certificates: Certificates, passwords: dict[str, str]) -> str:
    """HOST:PORT of the broker."""
    return start_secure_kafka(stack, certificates, USER, passwords["kafka"])


@pytest.fixture(scope="session")
def cluster(
    stack: Home, environment: Environment, certificates: Certificates, passwords: dict[str, str]
) -> Iterator[Cluster]:
    cluster = Cluster(stack, environment.storage, certificates, Login(USER, passwords["gateway"]))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_HOME", str(stack.root))  # where connections are looked up
        with environment.blob_service() as service:
            service.create_container("spark")
        cluster.start()
        yield cluster


@pytest.fixture(scope="session")
def azure(cluster: Cluster, environment: Environment, certificates: Certificates, secure_kafka: str) -> Environment:
    """The environment file that ships, filled in as its comments say."""
    text = (PROJECT_ROOT / "infra" / "environments" / "hdinsight.toml").read_text()
    storage = environment.storage
    filled = {
        'account = ""': f'account = "{storage.account_name}"\nblob_endpoint = "{storage.blob_endpoint}"',
        '# key_connection = "millrace_lake"': 'key_connection = "lake"',
        'bootstrap = ""': f'bootstrap = "{secure_kafka}"\n"ssl.ca.location" = "{certificates.ca}"',
        '# connection = "millrace_kafka"': 'connection = "kafka"',
        'cluster = ""': f'cluster = "conformance"\ngateway = "{cluster.url}"\nca_file = "{certificates.ca}"',
        'connection = "millrace_hdinsight"': f'connection = "gateway"\npython = "{cluster.python}"',
        '"spark.driver.memory" = "2g"': '"spark.driver.memory" = "1g"',
        '"spark.executor.memory" = "4g"': '"spark.executor.memory" = "1g"',
        '"spark.sql.shuffle.partitions" = "4"': '"spark.sql.shuffle.partitions" = "2"',
    }
    for before, after in filled.items():
        assert text.count(before) == 1, before
        text = text.replace(before, after)
    folder = certificates.ca.parent / "environments"
    folder.mkdir()
    (folder / "hdinsight.toml").write_text(text)
    return load_environment("hdinsight", folder=folder)

"""The declared topics, made on real clusters of brokers: once, twice, changed, not reached, with a login."""

from __future__ import annotations

import dataclasses
import json
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._config import ConfigResource, ConfigSource

from jobs.errors import MillraceError
from jobs.topic import Topic
from jobs.topics import stock_ticks
from millrace.environment import Environment, StorageAccount, load_environment
from millrace.home import Home
from millrace.stack.lifecycle import down
from millrace.tasks.topics import make_topics
from millrace.waiting import until
from tests.conformance.certificates import make_certificates
from tests.conformance.secure_kafka import start_secure_kafka
from tests.environment_files import HDINSIGHT
from tests.two_brokers import TwoBrokers, two_brokers

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

STORAGE = StorageAccount("account", "lake", "http://127.0.0.1:1/account", Path("key"))
FILE = (
    HDINSIGHT
    + """[kafka]
bootstrap = ""
connection = "millrace_kafka"
"ssl.ca.location" = "{ca}"
"""
)


@pytest.fixture(scope="module")
def brokers(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TwoBrokers]:
    with two_brokers(Home(tmp_path_factory.mktemp("brokers") / "home")) as found:
        yield found


def at(bootstrap: str) -> Environment:
    return Environment("azure", "hdinsight", bootstrap, {}, "abfs://lake", STORAGE)


def topic(**changed: object) -> Topic:
    return dataclasses.replace(stock_ticks, name=f"ticks_{uuid.uuid4().hex[:12]}", **changed)  # type: ignore[arg-type]


def settings(bootstrap: str, name: str) -> dict[str, str]:
    """Those that were given to the topic, as Kafka has them."""
    client = AdminClient({"bootstrap.servers": bootstrap})
    (found,) = client.describe_configs([ConfigResource(ConfigResource.Type.TOPIC, name)]).values()
    own = ConfigSource.DYNAMIC_TOPIC_CONFIG.value
    return {entry.name: entry.value for entry in found.result(15).values() if entry.source == own}


def test_topics_have_the_declared_partitions_and_retention_and_as_many_copies_as_brokers_allow(
    brokers: TwoBrokers,
) -> None:
    declared = topic(partitions=5, retention=timedelta(days=3))
    done = make_topics(at(brokers.open), [declared])
    assert done[declared.name].startswith("created, 5 partitions, 2 copies of each")
    admin = AdminClient({"bootstrap.servers": brokers.open})

    def copies() -> list[int]:
        found = admin.list_topics(timeout=15).topics.get(declared.name)
        return [len(each.replicas) for each in found.partitions.values()] if found else []

    assert until(lambda: copies() == [2] * 5, timedelta(seconds=30)), "the broker that is asked may learn of it later"
    assert settings(brokers.open, declared.name) == {"retention.ms": "259200000", "min.insync.replicas": "1"}


def test_a_second_run_changes_nothing_and_a_changed_declaration_its_setting_alone(brokers: TwoBrokers) -> None:
    declared, place = topic(), at(brokers.open)
    make_topics(place, [declared])
    assert make_topics(place, [declared]) == {declared.name: "existed"}
    for_ever = dataclasses.replace(declared, retention=None)
    assert make_topics(place, [for_ever]) == {declared.name: "existed, changed: {'retention.ms': '604800000 -> -1'}"}
    assert make_topics(place, [for_ever]) == {declared.name: "existed"}
    assert settings(brokers.open, declared.name) == {"retention.ms": "-1", "min.insync.replicas": "1"}


def test_another_number_of_partitions_is_refused_and_changes_nothing(brokers: TwoBrokers) -> None:
    declared, place = topic(), at(brokers.open)
    make_topics(place, [declared])
    with pytest.raises(MillraceError, match="it has 3 partitions, 4 are declared"):
        make_topics(place, [dataclasses.replace(declared, partitions=4)])


def test_a_worker_that_does_not_reach_what_brokers_advertise_is_told_what_to_do(brokers: TwoBrokers) -> None:
    declared = topic()
    with pytest.raises(MillraceError) as failed:
        make_topics(at(brokers.bad), [declared])
    assert f"broker {brokers.nameless}: the name does not resolve here" in str(failed.value)
    assert f"broker {brokers.shut}: 127.0.0.1 port" in str(failed.value)
    assert "one that is peered or connected with it by VPN" in str(failed.value)
    assert declared.name not in AdminClient({"bootstrap.servers": brokers.open}).list_topics(timeout=15).topics


def test_where_kafka_asks_for_tls_and_a_login_the_environments_are_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, certificates = Home(tmp_path / "home"), make_certificates(tmp_path / "certificates")
    monkeypatch.setenv("MILLRACE_HOME", str(home.root))
    (tmp_path / "azure.toml").write_text(FILE.format(ca=certificates.ca))
    declared = topic()
    try:
        bootstrap = start_secure_kafka(home, certificates, "millrace", "a-Secret").by_login
        place = load_environment("azure", told={"kafka": {"bootstrap": bootstrap}}, folder=tmp_path)
        for password, finds in (("wrong", None), ("a-Secret", "created, 3 partitions, 1 copies")):
            keep(home, password)
            place = dataclasses.replace(place)  # it keeps the login that it has read
            if finds is None:
                with pytest.raises(MillraceError, match=r"is connected to, and answers .*; correct the login"):
                    make_topics(place, [declared])
            else:
                assert make_topics(place, [declared])[declared.name].startswith(finds)
    finally:
        down(home)


def keep(home: Home, password: str) -> None:
    path = home.secrets / "connections" / "millrace_kafka.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"login": "millrace", "password": password}))

"""MirrorMaker's settings: what they say, and where their secrets are."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.protocol import SparkJob
from millrace.replication import job, stop
from millrace.replication.first_start import require_brokers
from millrace.replication.notes import LocalNotes
from millrace.replication.partition_reader import Cluster, opened
from millrace.replication.properties import mirror_files
from millrace.stack.java_properties import properties_text
from millrace.stack.private_file import write_private
from millrace.supervision.connection import Connection
from tests.environment_files import HDINSIGHT
from tests.plugins.supervision.fake_platform import FakePlatform

PASSWORDS = {"of_source": "a-source-Secret", "of_replica": 'another "one\\'}
FILE = (
    HDINSIGHT
    + """[kafka]
bootstrap = "source:9093"
connection = "of_source"
"ssl.ca.location" = "{ca}"
[replica]
bootstrap = "replica:9093"
connection = "of_replica"
"sasl.mechanism" = "SCRAM-SHA-512"
topics = ["ticks.eu", "trades"]
{more}
"""
)


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    home = Home(tmp_path / "home")
    monkeypatch.setenv("MILLRACE_HOME", str(home.root))
    for name, password in PASSWORDS.items():
        login = {"login": f"user {name}", "password": password}
        write_private(home.secrets / "connections" / f"{name}.json", json.dumps(login))
    (tmp_path / "ca.pem").write_text("-----BEGIN CERTIFICATE-----\nZürich\n-----END CERTIFICATE-----\n")
    return home


def environment(home: Home, more: str = "") -> Environment:
    folder = home.root.parent
    (folder / "mirrored.toml").write_text(FILE.format(ca=folder / "ca.pem", more=more))
    return load_environment("mirrored", home=home, folder=folder)


def settings(home: Home, more: str = "") -> dict[str, str]:
    found = environment(home, more)
    return dict(mirror_files(found, job.replica_of(found), job.mirrored_topics(found), Path("/secrets")).settings)


def test_topics_keep_their_names_and_only_one_way_is_replicated(home: Home) -> None:
    found = settings(home)
    assert found["clusters"] == "millrace-mirrored,replica"
    assert found["millrace-mirrored->replica.enabled"] == "true"
    assert found["millrace-mirrored->replica.topics"] == r"ticks\.eu,trades"
    assert "replica->millrace-mirrored.enabled" not in found
    assert found["replication.policy.class"].endswith(".IdentityReplicationPolicy")
    assert not [name for name in found if "blacklist" in name]


def test_nothing_is_written_to_the_source(home: Home) -> None:
    found = settings(home)
    assert found["emit.heartbeats.enabled"] == "false"
    assert found["offset-syncs.topic.location"] == "target"


def test_every_internal_topic_has_the_replication_factor_of_the_file(home: Home) -> None:
    found = settings(home, "replication_factor = 2")
    factors = {name: value for name, value in found.items() if name.endswith("replication.factor")}
    assert len(factors) == 7
    assert set(factors.values()) == {"2"}


@pytest.mark.parametrize(("more", "support"), [("", "disabled"), ("exactly_once = true", "enabled")])
def test_exactly_once_is_a_setting_for_brokers_that_have_it(home: Home, more: str, support: str) -> None:
    assert settings(home, more)["replica.exactly.once.source.support"] == support


def test_groups_are_replicated_where_they_are_named(home: Home) -> None:
    assert settings(home)["groups"] == "(?!)"
    named = settings(home, 'groups = ["bill.ing"]')
    assert (named["groups"], named["sync.group.offsets.enabled"]) == (r"bill\.ing", "true")


def test_settings_refer_to_secrets_and_hold_none(home: Home) -> None:
    """MirrorMaker keeps them in a topic of the replica."""
    found = environment(home)
    files = mirror_files(found, job.replica_of(found), ("t",), Path("/secrets"))
    assert files.settings["replica.sasl.jaas.config"] == "${file:/secrets:replica.sasl.jaas.config}"
    assert files.settings["millrace-mirrored.security.protocol"] == "SASL_SSL"
    assert "BEGIN CERTIFICATE" in files.settings["millrace-mirrored.ssl.truststore.certificates"]
    assert files.settings["replica.sasl.mechanism"] == "SCRAM-SHA-512"
    assert PASSWORDS["of_source"] in files.secrets["millrace-mirrored.sasl.jaas.config"]
    assert "Secret" not in properties_text(files.settings)


def test_other_settings_are_kept_in_another_topic_and_the_same_in_the_same(home: Home) -> None:
    """MirrorMaker starts by what it kept: a login that is no more would keep it from starting at all."""
    name = "replica.config.storage.topic"
    assert settings(home)[name] == settings(home)[name]
    assert (
        settings(home)[name] != settings(home, '"ssl.ca.location" = "' + str(home.root.parent / "ca.pem") + '"')[name]
    )


def test_a_start_leaves_secrets_in_a_private_file_alone(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(job, "fetch_jars", lambda *_: [Path("/mirror.jar")])
    monkeypatch.setattr(job, "require_brokers", lambda *_: None)
    folder = JobFolder(home.replication / "mirrored" / "jobs" / "20000101--replicate")
    submitted = SparkJob(job.REPLICATE, ("ticks.eu",), "me.1")
    folder.create(submitted)
    monkeypatch.setenv("AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "postgresql://user:hidden@host/db")

    command, variables = job.mirror_connection(environment(home), home).platform.launch(submitted, folder)

    told = " ".join(command) + json.dumps(variables)
    assert "Secret" not in told
    assert "hidden" not in told
    written = {path: path.read_text() for path in home.replication.rglob("*.properties")}
    (secrets,) = [path for path, text in written.items() if "Secret" in text]
    assert secrets == home.replication / "mirrored" / "secrets.properties"
    assert {path.stat().st_mode & 0o777 for path in written} == {0o600}
    assert str(folder.scratch) in command[-1]


def test_a_start_that_fails_leaves_no_secrets(home: Home, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> list[Path]:
        raise MillraceError("no jars")

    monkeypatch.setattr(job, "fetch_jars", fail)
    monkeypatch.setattr(job, "require_brokers", lambda *_: None)
    folder = JobFolder(home.replication / "mirrored" / "jobs" / "20000101--replicate")
    submitted = SparkJob(job.REPLICATE, ("ticks.eu",), "me.1")
    folder.create(submitted)
    with pytest.raises(MillraceError, match="no jars"):
        job.mirror_connection(environment(home), home).platform.launch(submitted, folder)
    assert not list(home.replication.rglob("*.properties"))


@pytest.mark.parametrize("is_running", [True, False])
def test_a_stop_leaves_no_secrets_of_one_that_was_killed(
    home: Home, monkeypatch: pytest.MonkeyPatch, is_running: bool
) -> None:
    found, platform = environment(home), FakePlatform()
    notes = LocalNotes(home.replication / "mirrored" / "notes")
    if is_running:
        platform.submit(SparkJob(job.REPLICATE, ("ticks.eu",), "me.1"))
    monkeypatch.setattr(stop, "mirror_connection", lambda *_: Connection(found, platform, notes))
    write_private(job.secrets_file(found, home), "secret")
    stop.stop_replication(found, home, "test", stay_stopped=True, grace=timedelta(0))
    assert not job.secrets_file(found, home).exists()
    assert platform.find(job.REPLICATE) is None


def test_values_are_written_as_java_reads_them() -> None:
    values = {"a->b.c d": " x=1\n", "ü": "ß \\ 𝄞"}
    assert properties_text(values) == "a->b.c\\ d=\\ x=1\\n\n\\u00fc=\\u00df \\\\ \\ud834\\udd1e\n"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ('groups = "billing"', r"replica\.groups is 'billing'; write a list of names"),
        ("replication_factor = 0", r"replica\.replication_factor is 0; write a whole number from 1"),
        ("tasks = true", r"replica\.tasks is True; write a whole number"),
        ('exactly_once = "yes"', r"replica\.exactly_once is 'yes'; write true or false"),
        (
            "exactly_onc = true",
            r"replica\.exactly_onc is True; that is no setting; use one of: bootstrap, connection, top",
        ),
        ('heap = "lots"', r"replica\.heap is 'lots'; write it as Java does"),
        ('"sasl.password" = "p"', r"secrets do not stand in a file: name an Airflow connection in replica\.connection"),
        ('"ssl.cipher.suites" = "x"', r"replica\.ssl\.cipher\.suites is 'x'; of these settings drivers know"),
    ],
)
def test_what_is_wrong_in_the_file_is_told(home: Home, more: str, told: str) -> None:
    with pytest.raises(MillraceError, match=told):
        environment(home, more)


def test_a_setting_that_no_client_knows_is_told_at_the_first_start_and_by_the_check(home: Home) -> None:
    found = environment(home, '"fetch.wait.max.mss" = "1"')
    with pytest.raises(
        MillraceError, match=r"'mirrored': \[replica\] has a setting .*: .*fetch\.wait\.max\.mss.*correct it"
    ):
        require_brokers(found, job.replica_of(found))
    cluster = Cluster("the replica", "127.0.0.1:1", {"fetch.wait.max.mss": "1"})
    with pytest.raises(MillraceError, match=r"the replica at 127.*fetch\.wait\.max\.mss.*; see that"), opened(cluster):
        pass


def test_a_replica_elsewhere_needs_brokers(home: Home) -> None:
    folder = home.root.parent
    (folder / "lacking.toml").write_text(FILE.format(ca="ca", more="").replace('bootstrap = "replica:9093"', ""))
    with pytest.raises(MillraceError, match=r"replica\.bootstrap is None; give it the second cluster's brokers"):
        load_environment("lacking", home=home, folder=folder)


def test_without_the_table_the_remedy_is_named(home: Home) -> None:
    folder = home.root.parent
    (folder / "alone.toml").write_text(FILE.format(ca="ca", more="").partition("[replica]")[0])
    alone = load_environment("alone", home=home, folder=folder)
    with pytest.raises(MillraceError, match=r"environment 'alone': its file has no table \[replica\]"):
        job.mirror_job(alone, "me.1")

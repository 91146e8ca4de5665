"""MirrorMaker between two clusters that take only TLS, and a login or a certificate; no secret is seen anywhere."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

import psutil
import pytest
from confluent_kafka import Consumer
from confluent_kafka.admin import AdminClient, ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion

from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.kafka_brokers import admin_of
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.protocol import JobState
from millrace.replica import Replica
from millrace.replication.check import check_replica, verdict
from millrace.replication.job import mirror_connection, mirror_job
from millrace.stack.lifecycle import down
from millrace.stack.private_file import write_private
from millrace.supervision.control import StreamControl
from tests.conformance.certificates import Certificates, make_certificates
from tests.conformance.secure_kafka import SecureKafka, start_secure_kafka
from tests.end_to_end.mirrored_topic import PATIENCE, bring_back, counts, make_topic, read_all, send_numbers, surplus
from tests.end_to_end.streams import await_true
from tests.environment_files import HDINSIGHT

pytestmark = [pytest.mark.stack, pytest.mark.release, pytest.mark.timeout(400)]

TOPIC = "secret.topic"
SOURCE, REPLICA, ADMIN = ("millrace", "a-source-Secret"), ("mirror", 'quoted ";\\'), ("millrace", "a-replica-Secret")
FILE = (
    HDINSIGHT
    + """[kafka]
bootstrap = "{source.by_login}"
connection = "of_source"
"ssl.ca.location" = "{certificates.ca}"
[replica]
topics = ["{topic}"]
replication_factor = 1
"ssl.ca.location" = "{certificates.ca}"
{more}
"""
)
BY_LOGIN = 'bootstrap = "{replica.by_login}"\nconnection = "of_replica"\n"sasl.mechanism" = "SCRAM-SHA-512"'
BY_CERTIFICATE = """bootstrap = "{replica.by_certificate}"
"security.protocol" = "SSL"
"ssl.certificate.location" = "{certificates.certificate}"
"ssl.key.location" = "{certificates.key}"
"""


@dataclass(frozen=True)
class Rig:
    home: Home
    source: SecureKafka
    replica: SecureKafka
    certificates: Certificates

    def environment(self, more: str) -> Environment:
        values = {"source": self.source, "replica": self.replica, "certificates": self.certificates, "topic": TOPIC}
        text = FILE.replace("{more}", more).format(**values)
        (self.home.root / "guarded.toml").write_text(text)
        return load_environment("guarded", home=self.home, folder=self.home.root)


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    """A cluster that is let into by login, and another whose user's password takes quoting."""
    home, other, certificates = Home(tmp_path / "home"), Home(tmp_path / "other"), make_certificates(tmp_path / "ca")
    monkeypatch.setenv("MILLRACE_HOME", str(home.root))
    for name, (user, password) in {"of_source": SOURCE, "of_replica": REPLICA}.items():
        text = json.dumps({"login": user, "password": password})
        write_private(home.secrets / "connections" / f"{name}.json", text)
    try:
        source = start_secure_kafka(home, certificates, *SOURCE)
        replica = start_secure_kafka(other, certificates, *ADMIN)
        rig = Rig(home, source, replica, certificates)
        _add_user(rig)
        yield rig
    finally:
        for each in (home, other):
            down(each)


def _add_user(rig: Rig) -> None:
    admin = AdminClient(
        {
            "bootstrap.servers": rig.replica.by_certificate,
            "security.protocol": "SSL",
            "ssl.ca.location": str(rig.certificates.ca),
            "ssl.certificate.location": str(rig.certificates.certificate),
            "ssl.key.location": str(rig.certificates.key),
        }
    )
    user, password = REPLICA
    login = UserScramCredentialUpsertion(
        user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096), password.encode()
    )
    admin.alter_user_scram_credentials([login])[user].result(30)


def test_a_replica_behind_tls_is_complete_after_a_kill_and_another_login(rig: Rig) -> None:
    environment = rig.environment(BY_LOGIN)
    bootstrap, options = environment.kafka_bootstrap, dict(environment.kafka_options)
    make_topic(bootstrap, options, TOPIC)
    sent = send_numbers(bootstrap, options, TOPIC, range(3_000))
    first = mirror_connection(environment, rig.home)
    running = first.platform.submit(mirror_job(environment, "test.1"))
    try:
        await_true("the first records in the replica", lambda: counts(environment, TOPIC) > 0, PATIENCE)
        _assert_nothing_tells_a_secret(rig, running.id)
        sent += send_numbers(bootstrap, options, TOPIC, range(3_000, 4_000))
        changed = mirror_connection(rig.environment(BY_CERTIFICATE), rig.home)
        running = bring_back(changed, _jobs(rig), running)
        assert verdict(check_replica(environment, patience=timedelta(seconds=90))) is None
        StreamControl(changed.notes, running.name).request_stop(running.owner, "the test is over")
        await_true(
            "the end of MirrorMaker", lambda: changed.platform.state(running.id).state is JobState.SUCCEEDED, PATIENCE
        )
    finally:
        for left in first.platform.live_jobs():
            first.platform.cancel(left.id)
    reports = list(check_replica(environment, patience=timedelta(0)))
    assert verdict(reports) is None
    replica = _replica(environment)
    copied = read_all(replica.bootstrap, dict(replica.options), TOPIC)
    again = surplus(copied, sent)
    assert not surplus(sent, copied)
    assert set(again) <= set(sent)
    assert sum(report.duplicates for report in reports) == again.total()
    assert not [name for name in admin_of(environment).list_topics(timeout=10).topics if name.startswith("mm2")]
    assert not list((rig.home.replication / "guarded").rglob("*.properties"))


def _assert_nothing_tells_a_secret(rig: Rig, job_id: str) -> None:
    folder = JobFolder(_jobs(rig) / job_id)
    process = psutil.Process(folder.read("process.json")["driver"])
    lines = [str(each.cmdline()) + str(each.environ()) for each in (process, *process.children())]
    kept = b"".join(_internal_records(_replica(rig.environment(BY_LOGIN))))
    assert b"${file:" in kept
    for secret in (SOURCE[1], REPLICA[1], "quoted", "PRIVATE KEY"):
        assert secret not in "".join(lines)
        assert secret not in folder.log.read_text()
        assert secret.encode() not in kept
    (secrets,) = (rig.home.replication / "guarded").glob("*.properties")
    assert SOURCE[1] in secrets.read_text()
    assert {path.stat().st_mode & 0o777 for path in (secrets, *folder.scratch.glob("*.properties"))} == {0o600}


def _internal_records(replica: Replica) -> Iterator[bytes]:
    """Keys and values of all that MirrorMaker keeps on the replica."""
    settings: dict[str, Any] = {
        "bootstrap.servers": replica.bootstrap,
        "group.id": "look",
        "enable.partition.eof": True,
    }
    consumer = Consumer({**replica.options, **settings, "auto.offset.reset": "earliest"})
    names = [name for name in consumer.list_topics(timeout=10).topics if name.startswith("mm2-configs")]
    assert len(names) == 1
    consumer.subscribe(names)
    while (message := consumer.poll(30)) is not None and not message.error():
        yield (message.key() or b"") + (message.value() or b"")
    consumer.close()


def _jobs(rig: Rig) -> Path:
    return rig.home.replication / "guarded" / "jobs"


def _replica(environment: Environment) -> Replica:
    assert environment.replica is not None
    return environment.replica

"""Every way in that an environment's file may name, on a real broker: for producer, reader, and Spark's executors."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from confluent_kafka import KafkaException
from confluent_kafka.admin import (
    AclBinding,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)
from confluent_kafka.cimpl import NewTopic
from pyspark.sql import SparkSession

from jobs.broker_check import check_brokers
from jobs.kafka import client_options
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.kafka_brokers import admin_of
from millrace.lake.ledger.kafka_topic import ask_kafka
from millrace.producers import send
from millrace.producers.record import Record
from millrace.stack.lifecycle import down
from millrace.stack.private_file import write_private
from tests.conformance.certificates import Certificates, make_certificates
from tests.conformance.secure_kafka import SecureKafka, start_secure_kafka
from tests.environment_files import HDINSIGHT

pytestmark = [pytest.mark.stack, pytest.mark.timeout(400)]

ADMIN, ONLOOKER, SCRAM, EVENT_HUBS = "millrace", "onlooker", "scrammed", "$ConnectionString"
"""The last is the user that Event Hubs has for all, whose password is a connection string."""
PASSWORDS = {
    ADMIN: "a-Secret",
    ONLOOKER: "an-onlookers",
    SCRAM: 'quoted ";\\',
    EVENT_HUBS: "Endpoint=sb://mr.servicebus.windows.net/;SharedAccessKeyName=millrace;SharedAccessKey=c2Vj/3+Jl1Q=",
}
EMPTY, GUARDED = "no_ticks_yet", "guarded"
FILE = (
    HDINSIGHT
    + """[kafka]
bootstrap = "{bootstrap}"
"ssl.ca.location" = "{ca}"
{more}
"""
)


@dataclass(frozen=True)
class Rig:
    kafka: SecureKafka
    certificates: Certificates
    folder: Path

    def environment(self, *more: str, by_certificate: bool = False) -> Environment:
        """By a file as users write it; `more` are lines of its table [kafka]."""
        bootstrap = self.kafka.by_certificate if by_certificate else self.kafka.by_login
        text = FILE.format(bootstrap=bootstrap, ca=self.certificates.ca, more="\n".join(more))
        (self.folder / "secure.toml").write_text(text)
        return load_environment("secure", folder=self.folder)

    def with_certificate(self) -> Environment:
        names = {"certificate": self.certificates.certificate, "key": self.certificates.key}
        lines = [f'"ssl.{name}.location" = "{path}"' for name, path in names.items()]
        return self.environment('"security.protocol" = "SSL"', *lines, by_certificate=True)


WAYS = {
    "PLAIN": lambda rig: rig.environment(f'connection = "{ADMIN}"'),
    "PLAIN as Event Hubs": lambda rig: rig.environment('connection = "event_hubs"'),
    "SCRAM-SHA-256": lambda rig: rig.environment(f'connection = "{SCRAM}"', '"sasl.mechanism" = "SCRAM-SHA-256"'),
    "SCRAM-SHA-512": lambda rig: rig.environment(f'connection = "{SCRAM}"', '"sasl.mechanism" = "SCRAM-SHA-512"'),
    "certificate": lambda rig: rig.with_certificate(),
}


def topic_of(way: str) -> str:
    return f"of_{way.replace(' ', '_')}"


@pytest.fixture(scope="module")
def rig(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Rig]:
    """A broker with users, whose logins are connections, and with topics that are empty."""
    folder = tmp_path_factory.mktemp("secure")
    home, certificates = Home(folder / "home"), make_certificates(folder / "certificates")
    for user, password in PASSWORDS.items():
        name = "event_hubs" if user == EVENT_HUBS else user
        write_private(home.secrets / "connections" / f"{name}.json", json.dumps({"login": user, "password": password}))
    others = " ".join(f'user_{user}="{PASSWORDS[user]}"' for user in (ONLOOKER, EVENT_HUBS))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MILLRACE_HOME", str(home.root))
        try:
            kafka = start_secure_kafka(home, certificates, ADMIN, PASSWORDS[ADMIN], others)
            rig = Rig(kafka, certificates, folder)
            _fill(rig.environment(f'connection = "{ADMIN}"'))
            yield rig
        finally:
            down(home)


def _fill(environment: Environment) -> None:
    """What only an administrator may do."""
    admin = admin_of(environment)
    for done in admin.create_topics(
        [NewTopic(name, 1, 1) for name in (*(topic_of(way) for way in WAYS), EMPTY, GUARDED)]
    ).values():
        done.result(30)
    for kind in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
        login = UserScramCredentialUpsertion(SCRAM, ScramCredentialInfo(kind, 4096), PASSWORDS[SCRAM].encode())
        admin.alter_user_scram_credentials([login])[SCRAM].result(30)


@pytest.mark.parametrize("way", WAYS)
def test_producer_reader_and_executors_get_in(spark: SparkSession, rig: Rig, way: str) -> None:
    environment = WAYS[way](rig)
    topic, address = topic_of(way), environment.kafka_bootstrap
    send([Record(b"key", way.encode(), 0)], topic, address, environment.kafka_options)
    with hadoop_settings(spark, environment):
        reader = spark.read.format("kafka").options(**client_options(spark, address)).option("subscribe", topic)
        assert [bytes(row.value).decode() for row in reader.load().collect()] == [way]
        (broker,) = check_brokers(spark, [address], [EMPTY, "not_there"])["brokers"]
    assert broker == {"address": address, "unreached": {}, "read": f"{EMPTY}[0]"}


@pytest.mark.parametrize("by_certificate", [False, True])
def test_who_gives_no_login_or_certificate_does_not_get_in(rig: Rig, by_certificate: bool) -> None:
    """So that the test above proves something."""
    nobody = rig.environment('"security.protocol" = "SSL"', by_certificate=by_certificate)
    with pytest.raises(KafkaException):
        admin_of(nobody).list_topics(timeout=5)


def test_executors_tell_of_a_certificate_that_another_authority_issued(spark: SparkSession, rig: Rig) -> None:
    stranger = replace(rig, certificates=make_certificates(rig.folder / "stranger"))
    environment = stranger.environment(f'connection = "{ADMIN}"')
    with hadoop_settings(spark, environment):
        (broker,) = check_brokers(spark, [environment.kafka_bootstrap], [EMPTY])["brokers"]
    (driver, of_driver), (executor, of_executor) = sorted(broker["unreached"].items())
    assert (driver.split()[0], executor.split()[0]) == ("driver", "executor")
    assert "Kafka's client does not get in" in of_driver
    assert "TLS: its certificate is refused" in of_executor
    assert "the CA that ssl.ca.location names" in of_executor
    assert broker["read"] is None


def test_a_login_that_may_not_read_is_told_by_the_executor_that_asked(spark: SparkSession, rig: Rig) -> None:
    """The driver's client gets in, and is told who leads; only fetching asks for the right to read."""
    admin, allow = admin_of(rig.environment(f'connection = "{ADMIN}"')), AclPermissionType.ALLOW
    who, kind = f"User:{ONLOOKER}", ResourceType.TOPIC
    rule = AclBinding(kind, GUARDED, ResourcePatternType.LITERAL, who, "*", AclOperation.DESCRIBE, allow)
    admin.create_acls([rule])[rule].result(30)
    environment = rig.environment(f'connection = "{ONLOOKER}"')
    with hadoop_settings(spark, environment):
        (broker,) = check_brokers(spark, [environment.kafka_bootstrap], [GUARDED])["brokers"]
    ((place, why),) = broker["unreached"].items()
    assert re.fullmatch(r"executor on \S+", place)
    assert why.startswith(f"{GUARDED}[0] is not read: ")
    assert "TopicAuthorizationException" in why
    assert PASSWORDS[ONLOOKER] not in why


def test_a_login_that_may_read_and_not_see_settings_suffices_for_the_ledger(rig: Rig) -> None:
    admin, allow = admin_of(rig.environment(f'connection = "{ADMIN}"')), AclPermissionType.ALLOW
    who, kind = f"User:{ONLOOKER}", ResourceType.TOPIC
    rule = AclBinding(kind, EMPTY, ResourcePatternType.LITERAL, who, "*", AclOperation.READ, allow)
    admin.create_acls([rule])[rule].result(30)
    told = ask_kafka(rig.environment(f'connection = "{ADMIN}"'), EMPTY).facts
    facts = ask_kafka(rig.environment(f'connection = "{ONLOOKER}"'), EMPTY).facts
    assert told.limits["cleanup.policy"] == "delete"
    assert facts == replace(told, limits={})
    assert (facts.forgets, facts.is_compacted) == (True, False)


@contextmanager
def hadoop_settings(spark: SparkSession, environment: Environment) -> Iterator[None]:
    """As a platform hands them to a driver."""
    hadoop = spark.sparkContext._jsc.hadoopConfiguration()
    settings = environment.hadoop_options()
    try:
        for name, value in settings.items():
            hadoop.set(name, value)
        yield
    finally:
        for name in settings:
            hadoop.unset(name)

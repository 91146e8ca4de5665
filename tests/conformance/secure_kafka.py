"""A real Kafka broker that takes only TLS: with a login (SASL_SSL; PLAIN or SCRAM), or with a client's certificate."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from dataclasses import dataclass
from datetime import timedelta

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millrace.home import PROJECT_ROOT, Home
from millrace.stack import process
from millrace.stack.jars import fetch_jars
from millrace.stack.java import find_java
from millrace.stack.private_file import write_private
from millrace.stack.settings import ports_for
from tests.conformance.certificates import Certificates

__all__ = ["SecureKafka", "start_secure_kafka"]

_NAME = "secure-kafka"
_LOCAL = PROJECT_ROOT / "infra" / "local"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"
_SCRAM = "org.apache.kafka.common.security.scram.ScramLoginModule required"


@dataclass(frozen=True)
class SecureKafka:
    """host:port of two listeners: one asks for a login, the other for a certificate of the same CA."""

    by_login: str
    by_certificate: str


def start_secure_kafka(
    home: Home, certificates: Certificates, user: str, password: str, others: str = ""
) -> SecureKafka:
    """Starts it and waits until it answers to this user, who may do all.

    `others` is more of PLAIN's users, `user_NAME="PASSWORD"`; they, and who has a certificate, may do what no ACL says.
    """
    ports = ports_for(home, _NAME, ("port", "controller_port", "certificate_port"))
    folder = home.root / _NAME
    template = (_LOCAL / "kafka.properties").read_text(encoding="utf-8")
    values = {"host": "127.0.0.1", "log_dir": str(folder / "data"), **{name: str(port) for name, port in ports.items()}}
    text = template.format_map(values) + _security(ports, certificates, user, password, others)
    write_private(folder / "server.properties", text)
    jars = os.pathsep.join(str(jar) for jar in fetch_jars("kafka", home))
    java = [find_java(), "-Xmx512m", f"-Dlog4j2.configurationFile={_LOCAL / 'kafka.log4j2.properties'}", "-cp", jars]
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    properties = str(folder / "server.properties")
    tool = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", properties]
    subprocess.run(tool, cwd=folder, check=True, capture_output=True)
    record = process.start(home, _NAME, [*java, "kafka.Kafka", properties], cwd=folder)
    bootstrap = f"127.0.0.1:{ports['port']}"
    process.await_ready(
        home, [record], lambda: _answers(bootstrap, certificates, user, password), timedelta(seconds=90)
    )
    return SecureKafka(bootstrap, f"127.0.0.1:{ports['certificate_port']}")


def _security(ports: dict[str, int], certificates: Certificates, user: str, password: str, others: str) -> str:
    """Lines that take the place of the template's, which come before them. Who is anonymous is the controller."""
    listeners = f"SASL_SSL://127.0.0.1:{ports['port']},MUTUAL://127.0.0.1:{ports['certificate_port']}"
    plain = f'{_PLAIN} username="{user}" password="{password}" user_{user}="{password}" {others}'
    return f"""
listeners={listeners},CONTROLLER://127.0.0.1:{ports["controller_port"]}
advertised.listeners={listeners}
listener.security.protocol.map=SASL_SSL:SASL_SSL,MUTUAL:SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN,SCRAM-SHA-256,SCRAM-SHA-512
listener.name.sasl_ssl.plain.sasl.jaas.config={plain};
listener.name.sasl_ssl.scram-sha-256.sasl.jaas.config={_SCRAM};
listener.name.sasl_ssl.scram-sha-512.sasl.jaas.config={_SCRAM};
listener.name.mutual.ssl.client.auth=required
authorizer.class.name=org.apache.kafka.metadata.authorizer.StandardAuthorizer
super.users=User:{user};User:ANONYMOUS
allow.everyone.if.no.acl.found=true
ssl.keystore.type=PEM
ssl.keystore.location={certificates.keystore}
ssl.truststore.type=PEM
ssl.truststore.location={certificates.ca}
"""


def _answers(bootstrap: str, certificates: Certificates, user: str, password: str) -> bool:
    settings = {
        "bootstrap.servers": bootstrap,
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "PLAIN",
        "sasl.username": user,
        "sasl.password": password,
        "ssl.ca.location": str(certificates.ca),
        "log_level": 0,
    }
    try:
        return bool(AdminClient(settings).list_topics(timeout=5).brokers)
    except KafkaException:
        return False

"""A real Kafka broker that takes only TLS and a login: SASL_SSL, PLAIN."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
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

__all__ = ["start_secure_kafka"]

_NAME = "secure-kafka"
_LOCAL = PROJECT_ROOT / "infra" / "local"
_PLAIN = "org.apache.kafka.common.security.plain.PlainLoginModule required"


def start_secure_kafka(home: Home, certificates: Certificates, user: str, password: str) -> str:
    """Starts it and waits until it answers to this user alone; its host:port."""
    ports = ports_for(home, _NAME, ("port", "controller_port"))
    folder = home.root / _NAME
    template = (_LOCAL / "kafka.properties").read_text(encoding="utf-8")
    values = {"host": "127.0.0.1", "log_dir": str(folder / "data"), **{name: str(port) for name, port in ports.items()}}
    text = template.format_map(values) + _security(ports, certificates, user, password)
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
    return bootstrap


def _security(ports: dict[str, int], certificates: Certificates, user: str, password: str) -> str:
    """Lines that take the place of the template's, which come before them."""
    return f"""
listeners=SASL_SSL://127.0.0.1:{ports["port"]},CONTROLLER://127.0.0.1:{ports["controller_port"]}
advertised.listeners=SASL_SSL://127.0.0.1:{ports["port"]}
listener.security.protocol.map=SASL_SSL:SASL_SSL,CONTROLLER:PLAINTEXT
inter.broker.listener.name=SASL_SSL
sasl.mechanism.inter.broker.protocol=PLAIN
sasl.enabled.mechanisms=PLAIN
listener.name.sasl_ssl.plain.sasl.jaas.config={_PLAIN} username="{user}" password="{password}" user_{user}="{password}";
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

"""The Kafka broker: one KRaft node, broker and controller at once, on loopback."""

from __future__ import annotations

import base64
import os
import socket
import subprocess
import uuid
from contextlib import closing
from datetime import timedelta
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import PROJECT_ROOT, Home
from millrace.stack import process
from millrace.stack.jars import fetch_jars
from millrace.stack.java import find_java
from millrace.stack.process_record import ProcessRecord
from millrace.stack.settings import LOOPBACK, load_settings, ports_for, save_settings

__all__ = ["KAFKA", "bootstrap", "prepare_kafka", "start_kafka"]

KAFKA = "kafka"
_PORTS = ("port", "controller_port")
_LOCAL = PROJECT_ROOT / "infra" / "local"
_JVM = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={_LOCAL / 'kafka.log4j2.properties'}"]


def bootstrap(home: Home) -> str:
    """The broker's "host:port"; raises MillraceError before its first start."""
    settings = load_settings(home, KAFKA)
    if "port" not in settings:
        raise MillraceError(f"Kafka: {home.stack_file} names no port, so it was never started; run `millrace up`")
    return f"{LOOPBACK}:{settings['port']}"


def prepare_kafka(home: Home) -> None:
    """Choose the ports, so that others can be told; nothing happens where the broker is running."""
    if not process.is_running(home, KAFKA):
        ports_for(home, KAFKA, _PORTS)


def start_kafka(home: Home) -> bool:
    """Start the broker and wait until it answers; False where it was running already."""
    if process.is_running(home, KAFKA):
        return False
    jars = fetch_jars(KAFKA, home)
    process.stop(home, KAFKA)  # what a crashed broker may have left behind holds its log folder
    properties = _configure(home)
    _format_once(home, jars, properties)
    record = process.start(
        home, KAFKA, [*_java(jars), "kafka.Kafka", str(properties)], cwd=home.kafka, endpoint=bootstrap(home)
    )
    process.await_ready(home, [record], lambda: _answers(home, record), timeout=timedelta(seconds=90))
    return True


def _configure(home: Home) -> Path:
    """Write server.properties from its template; the ports are chosen on the first start."""
    ports = ports_for(home, KAFKA, _PORTS)
    template = (_LOCAL / "kafka.properties").read_text(encoding="utf-8")
    values = {
        "host": LOOPBACK,
        "log_dir": str(home.kafka / "data"),
        **{name: str(port) for name, port in ports.items()},
    }
    home.kafka.mkdir(parents=True, exist_ok=True)
    path = home.kafka / "server.properties"
    path.write_text(template.format_map(values), encoding="utf-8")
    return path


def _format_once(home: Home, jars: list[Path], properties: Path) -> None:
    if (home.kafka / "data" / "meta.properties").exists():
        return
    cluster = load_settings(home, KAFKA).get("cluster_id") or _new_cluster_id()
    save_settings(home, KAFKA, cluster_id=cluster)
    command = [*_java(jars), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
    done = subprocess.run(command, cwd=home.kafka, text=True, capture_output=True, check=False)
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise MillraceError(
            f"Kafka: formatting {home.kafka / 'data'} ended with code {done.returncode}; "
            f"remove that folder if it holds nothing you need, and run it again. It said:\n{output}"
        )


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _java(jars: list[Path]) -> list[str]:
    return [find_java(), *_JVM, "-cp", os.pathsep.join(str(jar) for jar in jars)]


def _answers(home: Home, record: ProcessRecord) -> bool:
    """Whether the broker takes connections and knows itself as the cluster's only broker."""
    if not record.is_running or not _is_listening(load_settings(home, KAFKA)["port"]):
        return False
    from confluent_kafka import KafkaException  # here: what only reads an endpoint does not load librdkafka
    from confluent_kafka.admin import AdminClient

    try:
        return bool(AdminClient({"bootstrap.servers": bootstrap(home), "log_level": 0}).list_topics(timeout=5).brokers)
    except KafkaException:
        return False


def _is_listening(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex((LOOPBACK, port)) == 0

"""The Kafka broker: one KRaft node, broker and controller at once, on loopback; and a second one like it, a replica."""

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
from millrace.kafka_brokers import quiet_admin
from millrace.stack import process
from millrace.stack.jars import fetch_jars
from millrace.stack.java import find_java
from millrace.stack.process_record import ProcessRecord
from millrace.stack.settings import LOOPBACK, load_settings, ports_for, save_settings

__all__ = ["KAFKA", "REPLICA", "bootstrap", "prepare_kafka", "start_kafka"]

KAFKA = "kafka"
REPLICA = "kafka-replica"
"""The second broker: a cluster of its own, for trying replication."""

_PORTS = ("port", "controller_port")
_LOCAL = PROJECT_ROOT / "infra" / "local"
_JVM = ["-Xms128m", "-Xmx512m", "-XX:+UseSerialGC", f"-Dlog4j2.configurationFile={_LOCAL / 'kafka.log4j2.properties'}"]


def bootstrap(home: Home, broker: str = KAFKA) -> str:
    """The broker's "host:port"; raises MillraceError before its first start."""
    settings = load_settings(home, broker)
    if "port" not in settings:
        command = "millrace up" if broker == KAFKA else "millrace replicate"
        raise MillraceError(f"{broker}: {home.stack_file} names no port, so it was never started; run `{command}`")
    return f"{LOOPBACK}:{settings['port']}"


def prepare_kafka(home: Home) -> None:
    """Choose the ports, so that others can be told; nothing happens where the broker is running."""
    if not process.is_running(home, KAFKA):
        ports_for(home, KAFKA, _PORTS)


def start_kafka(home: Home, broker: str = KAFKA) -> bool:
    """Start the broker and wait until it answers; False where it was running already."""
    if process.is_running(home, broker):
        return False
    jars = fetch_jars(KAFKA, home)
    process.stop(home, broker)  # what a crashed broker may have left behind holds its log folder
    properties = _configure(home, broker)
    _format_once(home, broker, jars, properties)
    command = [*_java(jars), "kafka.Kafka", str(properties)]
    record = process.start(home, broker, command, cwd=properties.parent, endpoint=bootstrap(home, broker))
    process.await_ready(home, [record], lambda: _answers(home, broker, record), timeout=timedelta(seconds=90))
    return True


def _configure(home: Home, broker: str) -> Path:
    """Write server.properties from its template; the ports are chosen on the first start."""
    ports, folder = ports_for(home, broker, _PORTS), home.broker(broker)
    template = (_LOCAL / "kafka.properties").read_text(encoding="utf-8")
    values = {
        "host": LOOPBACK,
        "log_dir": str(folder / "data"),
        **{name: str(port) for name, port in ports.items()},
    }
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "server.properties"
    path.write_text(template.format_map(values), encoding="utf-8")
    return path


def _format_once(home: Home, broker: str, jars: list[Path], properties: Path) -> None:
    data = properties.parent / "data"
    if (data / "meta.properties").exists():
        return
    cluster = load_settings(home, broker).get("cluster_id") or _new_cluster_id()
    save_settings(home, broker, cluster_id=cluster)
    command = [*_java(jars), "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
    done = subprocess.run(command, cwd=data.parent, text=True, capture_output=True, check=False)
    if done.returncode:
        output = (done.stdout + done.stderr).strip()
        raise MillraceError(
            f"{broker}: formatting {data} ended with code {done.returncode}; "
            f"remove that folder if it holds nothing you need, and run it again. It said:\n{output}"
        )


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _java(jars: list[Path]) -> list[str]:
    return [find_java(), *_JVM, "-cp", os.pathsep.join(str(jar) for jar in jars)]


def _answers(home: Home, broker: str, record: ProcessRecord) -> bool:
    """Whether the broker takes connections and knows itself as the cluster's only broker."""
    if not record.is_running or not _is_listening(load_settings(home, broker)["port"]):
        return False
    from confluent_kafka import KafkaException  # here: what only reads an endpoint does not load librdkafka

    try:
        return bool(quiet_admin(bootstrap(home, broker), {}).list_topics(timeout=5).brokers)
    except KafkaException:
        return False


def _is_listening(port: int) -> bool:
    with closing(socket.socket()) as client:
        return client.connect_ex((LOOPBACK, port)) == 0

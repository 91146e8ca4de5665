"""A real Kafka cluster of two brokers, which advertises itself otherwise on each of its listeners."""

from __future__ import annotations

import base64
import os
import subprocess
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from millrace.home import PROJECT_ROOT, Home
from millrace.stack import process
from millrace.stack.jars import fetch_jars
from millrace.stack.java import find_java
from millrace.stack.lifecycle import down
from millrace.stack.settings import ports_for

__all__ = ["TwoBrokers", "two_brokers"]

_LOCAL = PROJECT_ROOT / "infra" / "local"
_HOST = "127.0.0.1"
_LISTENERS = ("OPEN", "BAD", "INTERNAL")
_PROTOCOLS = ",".join(f"{name}:PLAINTEXT" for name in (*_LISTENERS, "CONTROLLER"))


@dataclass(frozen=True)
class TwoBrokers:
    """Bootstrap servers, `host:port` of broker 1. Who asks at `bad` is told of a first broker at a `shut` port, and of
    a second one, `nameless`, by a name that no network resolves; who asks at `open`, of `addresses` that are reached.
    """

    open: str
    bad: str
    addresses: list[str]
    shut: str
    nameless: str


@contextmanager
def two_brokers(home: Home) -> Iterator[TwoBrokers]:
    """Both brokers in `home`, until the end of the block."""
    names = [f"{name.lower()}{number}" for number in (1, 2) for name in (*_LISTENERS, "CONTROLLER")]
    ports = ports_for(home, "two-brokers", [*names, "shut"])
    brokers = TwoBrokers(
        open=f"{_HOST}:{ports['open1']}",
        bad=f"{_HOST}:{ports['bad1']}",
        addresses=[f"{_HOST}:{ports['open1']}", f"{_HOST}:{ports['open2']}"],
        shut=f"{_HOST}:{ports['shut']}",
        nameless=f"wn1-kafka.millrace.invalid:{ports['bad2']}",
    )
    cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")
    try:
        records = [
            _start(home, number, ports, advertised, cluster)
            for number, advertised in ((1, brokers.shut), (2, brokers.nameless))
        ]
        process.await_ready(home, records, lambda: _are_up(brokers.addresses), timeout=timedelta(seconds=120))
        yield brokers
    finally:
        down(home)


def _start(home: Home, number: int, ports: dict[str, int], advertised: str, cluster: str) -> process.ProcessRecord:
    name = f"kafka-{number}"
    folder = home.root / name
    folder.mkdir(parents=True)
    properties = folder / "server.properties"
    properties.write_text(_properties(number, ports, advertised, folder / "data"))
    jars = os.pathsep.join(str(jar) for jar in fetch_jars("kafka", home))
    java = [find_java(), "-Xmx384m", f"-Dlog4j2.configurationFile={_LOCAL / 'kafka.log4j2.properties'}", "-cp", jars]
    tool = [*java, "kafka.tools.StorageTool", "format", f"--cluster-id={cluster}", "-c", str(properties)]
    subprocess.run(tool, cwd=folder, check=True, capture_output=True)
    return process.start(home, name, [*java, "kafka.Kafka", str(properties)], cwd=folder)


def _properties(number: int, ports: dict[str, int], advertised: str, data: Path) -> str:
    """The local broker's settings, and lines that take the place of some of them."""
    values = {"host": _HOST, "port": ports["open1"], "controller_port": ports["controller1"], "log_dir": data}
    template = (_LOCAL / "kafka.properties").read_text(encoding="utf-8").format_map(values)
    own = {name: f"{name}://{_HOST}:{ports[f'{name.lower()}{number}']}" for name in _LISTENERS}
    controller = f",CONTROLLER://{_HOST}:{ports['controller1']}" if number == 1 else ""
    return f"""{template}
process.roles={"broker,controller" if number == 1 else "broker"}
node.id={number}
listeners={",".join(own.values())}{controller}
advertised.listeners={own["OPEN"]},BAD://{advertised},{own["INTERNAL"]}
listener.security.protocol.map={_PROTOCOLS}
inter.broker.listener.name=INTERNAL
"""


def _are_up(addresses: list[str]) -> bool:
    """Each is asked: a broker is told of by the other before it listens."""
    return all(_count(address) == len(addresses) for address in addresses)


def _count(bootstrap: str) -> int:
    try:
        return len(AdminClient({"bootstrap.servers": bootstrap, "log_level": 0}).list_topics(timeout=5).brokers)
    except KafkaException:
        return 0

"""An HDInsight Spark cluster in small: YARN, Spark 3.3 on Python 3.8, Livy 0.7.1, and the gateway before them.

Real servers, from published jars that are pinned by hash; on this machine, without containers.
"""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sys
from contextlib import suppress
from datetime import timedelta
from importlib.util import find_spec
from pathlib import Path

import httpx
import psutil

from millrace.credentials import Login
from millrace.home import Home
from millrace.stack import process
from millrace.stack.jars import fetch_jars
from millrace.stack.java import find_java
from millrace.stack.private_file import write_private
from millrace.stack.process_record import load_record
from millrace.stack.settings import ports_for
from millrace.storage_account import StorageAccount
from tests.conformance.certificates import Certificates
from tests.conformance.hadoop import OPENS, PORTS, write_configuration
from tests.conformance.software import PYTHON, cluster_jars

__all__ = ["GATEWAY", "LIVY", "QUICK", "USER", "YARN", "Cluster"]

GATEWAY, LIVY, YARN = "gateway", "livy", "yarn"
USER = "millrace"
QUICK = ("-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-XX:ReservedCodeCacheSize=240m")
_NODE, _ENTRA = "yarn-node", "entra-gateway"
_PYSPARK_33 = next(PYTHON.parents[1].glob("lib/python3.*/site-packages/pyspark"), Path())
_JARS_42 = Path(str(find_spec("pyspark").origin)).parent / "jars"
_OF_JOBS = re.compile(r"delta|unitycatalog|kafka|spark-(sql|token)-.*kafka|commons-pool2")
_LOG4J = """log4j.rootLogger=WARN,c
log4j.logger.org.apache.livy=INFO
log4j.appender.c=org.apache.log4j.ConsoleAppender
log4j.appender.c.target=System.err
log4j.appender.c.layout=org.apache.log4j.PatternLayout
log4j.appender.c.layout.ConversionPattern=%d %p %c{1}: %m%n
"""


class Cluster:
    """Its processes, by name; `down` of the stack in `home` ends them."""

    def __init__(self, home: Home, storage: StorageAccount, certificates: Certificates, login: Login) -> None:
        self._home = home
        self._storage = storage
        self._certificates = certificates
        self._login = login
        self._root = home.root / "cluster"
        self._ports = ports_for(home, "cluster", (*PORTS, LIVY, GATEWAY, _ENTRA))
        self.url = f"https://localhost:{self._ports[GATEWAY]}"
        self.python = str(PYTHON)
        self.spark = self._root / "spark"
        self.event_logs = self._root / "events"

    def start(self) -> None:
        """All of it; returns when each part answers."""
        for folder in ("yarn", "livy", "livy/logs", "events"):
            (self._root / folder).mkdir(parents=True)
        for folder in ("yarn", "livy"):
            (self._root / folder / "log4j.properties").write_text(_LOG4J)
        storage = self._storage.hadoop_options()
        write_configuration(self._root / "hadoop", self._root / "yarn" / "work", self._ports, storage)
        self._make_spark()
        self.start_yarn()
        self.start_livy()
        self.start_gateway()

    def start_yarn(self) -> None:
        """Resource manager and node manager: two processes, for each has a web server that would hide the other's."""
        servers = {
            YARN: "org.apache.hadoop.yarn.server.resourcemanager.ResourceManager",
            _NODE: "org.apache.hadoop.yarn.server.nodemanager.NodeManager",
        }
        records = []
        for name, server in servers.items():
            command = [find_java(), "-Xmx320m", *QUICK, *OPENS, "-cp", self._class_path("yarn"), server]
            environment = {"JAVA_HOME": _java_home(), "PYTHONPATH": None}
            records.append(process.start(self._home, name, command, env=environment, cwd=self._root / "yarn"))
        process.await_ready(self._home, records, self._has_node, timedelta(seconds=180))

    def start_livy(self) -> None:
        folder, port = self._root / "livy", self._ports[LIVY]
        settings = {
            "livy.server.host": "127.0.0.1",
            "livy.server.port": str(port),
            "livy.spark.master": "yarn",
            "livy.spark.deploy-mode": "cluster",
            "livy.spark.scala-version": "2.12",
            "livy.server.csrf-protection.enabled": "true",
            "livy.server.yarn.poll-interval": "1s",
        }
        (folder / "livy.conf").write_text("".join(f"{name} = {value}\n" for name, value in settings.items()))
        environment = {
            "JAVA_HOME": _java_home(),
            "SPARK_HOME": str(self.spark),
            "SPARK_CONF_DIR": str(self.spark / "conf"),
            "HADOOP_CONF_DIR": str(self._root / "hadoop"),
            "PYSPARK_PYTHON": str(PYTHON),
            "SPARK_LOCAL_IP": "127.0.0.1",
            "SPARK_SUBMIT_OPTS": " ".join(QUICK),
            "LIVY_CONF_DIR": str(folder),
            "LIVY_HOME": str(folder),
            "PYTHONPATH": None,
        }
        command = [
            find_java(),
            "-Xmx256m",
            *QUICK,
            *OPENS,
            "-cp",
            self._class_path("livy"),
            "org.apache.livy.server.LivyServer",
        ]
        record = process.start(self._home, LIVY, command, env=environment, cwd=folder)
        process.await_ready(self._home, [record], lambda: _is_answered(f"http://127.0.0.1:{port}/version"))

    def start_gateway(self) -> None:
        self._start_gateway(GATEWAY, {"user": self._login.login, "password": self._login.password})

    def start_entra_gateway(self, signed_by: str, audience: str) -> str:
        """The URL of another gateway, which takes tokens that the holder of this public key has signed."""
        self._start_gateway(_ENTRA, {"signed_by": signed_by, "audience": audience})
        return f"https://localhost:{self._ports[_ENTRA]}"

    def _start_gateway(self, name: str, login: dict[str, str]) -> None:
        settings = self._root / f"{name}.json"
        content = {
            "port": self._ports[name],
            "certificate": str(self._certificates.certificate),
            "key": str(self._certificates.key),
            **login,
            "livy": f"127.0.0.1:{self._ports[LIVY]}",
            "yarn": f"127.0.0.1:{self._ports['rm_web']}",
        }
        write_private(settings, json.dumps(content))
        script = Path(__file__).with_name("gateway_server.py")
        record = process.start(self._home, name, [sys.executable, str(script), str(settings)])
        process.await_ready(self._home, [record], lambda: _is_listening(self._ports[name]))

    def kill(self, name: str) -> None:
        """SIGKILL to this process alone; the record stays, and a start takes it for a crash."""
        record = load_record(self._home, name)
        assert record is not None
        os.kill(record.pid, signal.SIGKILL)
        psutil.Process(record.pid).wait(10)

    def log(self, name: str) -> str:
        return process.log_file(self._home, name).read_text(errors="replace")

    def driver_processes(self, job_id: str) -> list[psutil.Process]:
        """The processes in the container of a job's driver: its application master's JVM, and its Python."""
        return [each for each in psutil.process_iter() if _mentions(each, f"/jobs/{job_id}")]

    def _class_path(self, name: str) -> str:
        return os.pathsep.join([str(self._root / name), str(self._root / "hadoop"), *map(str, cluster_jars(name))])

    def _has_node(self) -> bool:
        try:
            answer = httpx.get(f"http://localhost:{self._ports['rm_web']}/ws/v1/cluster/metrics", trust_env=False)
            return bool(answer.raise_for_status().json()["clusterMetrics"]["activeNodes"])
        except httpx.HTTPError:
            return False

    def _make_spark(self) -> None:
        """pyspark's Spark 3.3 with the Hadoop client and ABFS of pyspark 4.2. Delta and Kafka come with the jobs.

        Microsoft's Hadoop in HDInsight has an ABFS of its own. Hadoop 3.3's speaks to a storage account's DFS endpoint
        alone, which no emulator has; 3.5's can do with blobs.
        """
        jars = self.spark / "jars"
        jars.mkdir(parents=True)
        hadoop = [*_JARS_42.glob("hadoop-client-*.jar"), *fetch_jars("spark", self._home)]
        for jar in [*(_PYSPARK_33 / "jars").glob("*.jar"), *hadoop]:
            is_old, is_of_jobs = (
                jar.parent.parent == _PYSPARK_33 and jar.name.startswith("hadoop-"),
                _OF_JOBS.match(jar.name),
            )
            if not is_old and not is_of_jobs:
                with suppress(FileExistsError):
                    (jars / jar.name).symlink_to(jar)
        web_proxy = "hadoop-yarn-server-web-proxy-3.3.2.jar"
        (jars / web_proxy).symlink_to(_PYSPARK_33 / "jars" / web_proxy)
        for part in ("bin", "python"):
            (self.spark / part).symlink_to(_PYSPARK_33 / part)
        (self.spark / "conf").mkdir()
        (self.spark / "conf" / "spark-defaults.conf").write_text(self._defaults())

    def _defaults(self) -> str:
        settings = {
            "spark.yarn.stagingDir": (self._root / "staging").as_uri(),
            "spark.yarn.jars": f"local:{self.spark / 'jars'}/*",
            "spark.yarn.appMasterEnv.SPARK_LOCAL_IP": "127.0.0.1",
            "spark.executorEnv.SPARK_LOCAL_IP": "127.0.0.1",
            "spark.eventLog.enabled": "true",
            "spark.eventLog.dir": self.event_logs.as_uri(),
        }
        return "".join(f"{name} {value}\n" for name, value in settings.items())


def _java_home() -> str:
    return str(Path(find_java()).resolve().parents[1])


def _is_answered(url: str) -> bool:
    try:
        return httpx.get(url, trust_env=False).is_success
    except httpx.HTTPError:
        return False


def _is_listening(port: int) -> bool:
    with socket.socket() as client:
        return client.connect_ex(("127.0.0.1", port)) == 0


def _mentions(each: psutil.Process, text: str) -> bool:
    try:
        return any(text in part for part in each.cmdline())
    except psutil.Error:
        return False

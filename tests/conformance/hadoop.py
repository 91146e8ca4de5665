"""The settings of a Hadoop cluster and of its clients: HDFS and YARN in one process, on loopback."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["OPENS", "PORTS", "cluster_settings", "write_client_configuration", "yarn_settings"]

PORTS = (
    "name_node",
    "rm",
    "rm_web",
    "rm_scheduler",
    "rm_tracker",
    "rm_admin",
    "history",
    "history_web",
    "history_admin",
)

_PACKAGES = (
    *(
        "java.lang",
        "java.lang.invoke",
        "java.lang.reflect",
        "java.io",
        "java.math",
        "java.net",
        "java.nio",
        "java.text",
    ),
    *("java.util", "java.util.concurrent", "java.util.concurrent.atomic"),
    *("sun.nio.ch", "sun.security.action", "sun.util.calendar"),
)
# Java 17 hides what this old software looks into.
OPENS = [f"--add-opens=java.base/{package}=ALL-UNNAMED" for package in _PACKAGES]


def yarn_settings(ports: Mapping[str, int]) -> dict[str, str]:
    """Where the resource manager is, for servers and clients."""
    names = {
        "address": "rm",
        "webapp.address": "rm_web",
        "scheduler.address": "rm_scheduler",
        "resource-tracker.address": "rm_tracker",
        "admin.address": "rm_admin",
    }
    found = {f"yarn.resourcemanager.{name}": f"localhost:{ports[port]}" for name, port in names.items()}
    return {"yarn.resourcemanager.hostname": "localhost", **found}


def cluster_settings(ports: Mapping[str, int]) -> dict[str, str]:
    """Of the cluster: one node that takes four drivers with an executor each."""
    return {
        **yarn_settings(ports),
        "yarn.minicluster.fixed.ports": "true",
        "mapreduce.jobhistory.address": f"localhost:{ports['history']}",
        "mapreduce.jobhistory.webapp.address": f"localhost:{ports['history_web']}",
        "mapreduce.jobhistory.admin.address": f"localhost:{ports['history_admin']}",
        "yarn.nodemanager.vmem-check-enabled": "false",
        "yarn.nodemanager.pmem-check-enabled": "false",
        "yarn.scheduler.minimum-allocation-mb": "256",
        "yarn.nodemanager.resource.memory-mb": "14336",
        "yarn.nodemanager.resource.cpu-vcores": "16",
        "yarn.scheduler.capacity.maximum-am-resource-percent": "1.0",
        "yarn.nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99.9",
        "dfs.replication": "1",
    }


def write_client_configuration(folder: Path, ports: Mapping[str, int], storage: Mapping[str, str]) -> None:
    """What HADOOP_CONF_DIR holds. `storage`: how nodes get into the cluster's storage account, as its identity does."""
    folder.mkdir(parents=True)
    core = {"fs.defaultFS": f"hdfs://localhost:{ports['name_node']}", "dfs.replication": "1", **storage}
    for name, settings in (("core-site.xml", core), ("yarn-site.xml", yarn_settings(ports))):
        (folder / name).write_text(_xml(settings), encoding="utf-8")


def _xml(settings: Mapping[str, str]) -> str:
    properties = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>"
        for name, value in settings.items()
    )
    return f"<configuration>{properties}</configuration>\n"

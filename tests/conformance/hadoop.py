"""The settings of YARN, its servers and its clients, on loopback."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from xml.sax.saxutils import escape

__all__ = ["OPENS", "PORTS", "write_configuration"]

_RM = ("rm", "rm_web", "rm_scheduler", "rm_tracker", "rm_admin")
PORTS = (*_RM, "nm", "nm_localizer", "nm_web", "nm_collector")

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


def write_configuration(folder: Path, work: Path, ports: Mapping[str, int], storage: Mapping[str, str]) -> None:
    """What HADOOP_CONF_DIR holds, for servers and clients; nodes write below `work`.

    `storage`: how every node gets into the cluster's storage account, as by its identity on Azure.
    """
    folder.mkdir(parents=True)
    core = {"fs.defaultFS": "file:///", "hadoop.tmp.dir": str(work), **storage}
    for name, settings in (("core-site.xml", core), ("yarn-site.xml", _yarn_settings(work, ports))):
        (folder / name).write_text(_xml(settings), encoding="utf-8")


def _yarn_settings(work: Path, ports: Mapping[str, int]) -> dict[str, str]:
    """One node that takes four drivers with an executor each."""
    addresses = {
        "resourcemanager.address": "rm",
        "resourcemanager.webapp.address": "rm_web",
        "resourcemanager.scheduler.address": "rm_scheduler",
        "resourcemanager.resource-tracker.address": "rm_tracker",
        "resourcemanager.admin.address": "rm_admin",
        "nodemanager.address": "nm",
        "nodemanager.localizer.address": "nm_localizer",
        "nodemanager.webapp.address": "nm_web",
        "nodemanager.collector-service.address": "nm_collector",
    }
    fifo = "org.apache.hadoop.yarn.server.resourcemanager.scheduler.fifo.FifoScheduler"
    settings = {
        **{name: f"localhost:{ports[port]}" for name, port in addresses.items()},
        "resourcemanager.hostname": "localhost",
        "resourcemanager.scheduler.class": fifo,
        "nodemanager.local-dirs": str(work / "local"),
        "nodemanager.log-dirs": str(work / "logs"),
        "nodemanager.vmem-check-enabled": "false",
        "nodemanager.pmem-check-enabled": "false",
        "nodemanager.resource.memory-mb": "14336",
        "nodemanager.resource.cpu-vcores": "16",
        "nodemanager.disk-health-checker.max-disk-utilization-per-disk-percentage": "99.9",
        "scheduler.minimum-allocation-mb": "256",
    }
    return {f"yarn.{name}": value for name, value in settings.items()}


def _xml(settings: Mapping[str, str]) -> str:
    properties = "".join(
        f"<property><name>{escape(name)}</name><value>{escape(value)}</value></property>"
        for name, value in settings.items()
    )
    return f"<configuration>{properties}</configuration>\n"

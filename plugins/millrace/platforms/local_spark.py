"""How a job starts on a local master: spark-submit from the installed pyspark, and its settings in a private file."""

from __future__ import annotations

import os
import re
import sys
import tomllib
from dataclasses import dataclass
from pathlib import Path

from jobs.errors import MillraceError
from millrace.environment import Environment
from millrace.home import PROJECT_ROOT, Home
from millrace.platforms.local_code import unpacked
from millrace.platforms.local_environment import inherited_environment
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.protocol import SparkJob
from millrace.platforms.redaction import REDACTION
from millrace.stack.java_properties import properties_text
from millrace.stack.private_file import write_private
from millrace.stack.spark_classes import class_options, spark_home

__all__ = ["LocalSparkSettings", "spark_launch"]

_LOOPBACK = "127.0.0.1"
_LOGGING = Path(__file__).with_name("spark_conf") / "log4j2.properties"


@dataclass(frozen=True)
class LocalSparkSettings:
    """Tunables of local jobs; the table `[spark]` of the environment's file overrides them.

    `master`: `local[N]`, or the URL of a standalone master. `driver_memory`: heap of one driver, as Spark writes it.
    `java_options` are added to the driver's JVM. `shuffle_partitions`: Spark's own default of 200 costs minutes per
    start on a small machine, one state store each; a running stream keeps the number that its checkpoint began with.
    """

    master: str = "local[2]"
    driver_memory: str = "1g"
    java_options: str = "-XX:+UseParallelGC"
    shuffle_partitions: int = 2

    @classmethod
    def of(cls, environment: str) -> LocalSparkSettings:
        """From `infra/environments/<environment>.toml`. Raises MillraceError for a setting that does not exist."""
        path = PROJECT_ROOT / "infra" / "environments" / f"{environment}.toml"
        table = tomllib.loads(path.read_text(encoding="utf-8")).get("spark", {}) if path.exists() else {}
        if unknown := sorted(set(table) - set(cls.__dataclass_fields__)):
            known = ", ".join(cls.__dataclass_fields__)
            raise MillraceError(f"{path}: spark.{unknown[0]} is no setting; use one of: {known}")
        return cls(**table)


def spark_launch(
    environment: Environment, job: SparkJob, folder: JobFolder, home: Home
) -> tuple[list[str], dict[str, str]]:
    """The command and environment of `job`; its settings, the storage key among them, go into a 0600 file.

    Raises MillraceError where the code of its version is nowhere.
    """
    tree = _tree(environment, job, home)
    local = LocalSparkSettings.of(environment.name)
    master = _master(local.master, job.task_slots)
    settings = {"spark.master": master, **_settings(local, folder, home), **_lake(environment), **job.conf}
    settings["spark.app.name"] = job.name
    write_private(folder.properties, properties_text(settings))
    submit = spark_home() / "bin" / "spark-submit"
    command = [str(submit), "--properties-file", str(folder.properties), str(tree / "jobs" / "driver.py")]
    return [*command, *job.arguments], _environment(folder, tree)


def _tree(environment: Environment, job: SparkJob, home: Home) -> Path:
    """The folder that holds the package `jobs`. A version's is its own, which no deploy changes under a driver."""
    if job.code is None:
        return PROJECT_ROOT
    from millrace.lake.code import code_of  # here: it loads the storage client

    return unpacked(code_of(environment, job.code.pipeline, job.code.version), home.root / "code")


def _master(master: str, task_slots: int) -> str:
    """A local master has the slots that a job occupies, however few processors there are: tasks that wait for Kafka
    share them. A standalone master has its own."""
    found = re.fullmatch(r"local\[(\d+|\*)\]|local", master)
    if found is None or not task_slots:
        return master
    slots = (os.cpu_count() or 1) if found.group(1) == "*" else int(found.group(1) or 1)
    return f"local[{max(slots, task_slots)}]"


def _settings(local: LocalSparkSettings, folder: JobFolder, home: Home) -> dict[str, str]:
    # Not by SPARK_CONF_DIR, which would stand on the class path: an archive of classes allows no folder there.
    own = [f"-Dlog4j2.configurationFile={_LOGGING}", f"-Djava.io.tmpdir={folder.scratch}", "-Duser.timezone=UTC"]
    java = " ".join([local.java_options, "-XX:-UsePerfData", *own, *class_options(home)])
    return {
        "spark.driver.memory": local.driver_memory,
        "spark.driver.extraJavaOptions": java,
        "spark.driver.host": _LOOPBACK,
        "spark.driver.bindAddress": _LOOPBACK,
        "spark.sql.shuffle.partitions": str(local.shuffle_partitions),
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
        "spark.sql.warehouse.dir": str(folder.scratch / "warehouse"),
        "spark.hadoop.hadoop.tmp.dir": str(folder.scratch),
        **REDACTION,
    }


def _lake(environment: Environment) -> dict[str, str]:
    """Extra jars on the class path: quicker than `spark.jars`, which copies them."""
    jars = os.pathsep.join(str(jar) for jar in environment.spark_jars())
    hadoop = {f"spark.hadoop.{key}": value for key, value in environment.hadoop_options().items()}
    return {"spark.driver.extraClassPath": jars, **hadoop}


def _environment(folder: JobFolder, tree: Path) -> dict[str, str]:
    own = {
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": _LOOPBACK,
        "SPARK_LOCAL_DIRS": str(folder.scratch),
        "PYSPARK_PYTHON": sys.executable,
        "PYSPARK_DRIVER_PYTHON": sys.executable,
        "PYTHONPATH": str(tree),
        "PYTHONUNBUFFERED": "1",
        "TMPDIR": str(folder.scratch),
    }
    return inherited_environment() | own

"""The classes that every Spark driver loads, parsed and verified once: Java's class data sharing.

A driver's start is mostly the loading of some 20,000 classes. From an archive, which the JVM maps into its memory, they
cost a third of the CPU time: https://docs.oracle.com/en/java/javase/17/vm/class-data-sharing.html
The JVM checks that the archive is of this Java and these jars, and goes on without it where it is not.
"""

from __future__ import annotations

import hashlib
import logging
import os
import subprocess
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

from jobs.errors import MillraceError
from millrace.home import PROJECT_ROOT, Home
from millrace.stack.file_lock import exclusive
from millrace.stack.jars import ensure_jars, jar_files
from millrace.stack.java import find_java
from millrace.stack.progress import progress

__all__ = ["class_options", "ensure_spark", "spark_home"]

_JOB = PROJECT_ROOT / "infra" / "local" / "spark_classes.py"
_PATIENCE_S = 300.0
_TAIL = 2000  # characters
_LOOPBACK = "127.0.0.1"
# Else a warning about each class that is left out, and in every driver's log one about an archive that does not fit.
_IN_SILENCE = ("-Xlog:cds=off", "-Xlog:cds+dynamic=off")
_JAVA = "-XX:+UseSerialGC -XX:TieredStopAtLevel=1"  # for a minute's work, the quick compiler alone
_log = logging.getLogger(__name__)


def ensure_spark(home: Home | None = None) -> bool:
    """Fetch Spark's jars and make the archive; False where both are here. Raises as `fetch_jars`.

    An archive that cannot be made is no error: drivers start slower then, and a warning says why.
    """
    home = home or Home.current()
    fetched = ensure_jars("spark", home)
    archive = _archive(home)
    with exclusive(home.downloads / "classes.lock"):
        return fetched if archive.exists() else _make(archive, home) or fetched


def class_options(home: Home) -> list[str]:
    """What a JVM with these jars is to be told, so that it uses the archive; nothing where there is none."""
    archive = _archive(home)
    return [f"-XX:SharedArchiveFile={archive}", *_IN_SILENCE] if archive.exists() else []


def spark_home() -> Path:
    """The installed pyspark, which is a Spark; raises MillraceError where there is none."""
    found = find_spec("pyspark")  # found, not imported: nothing that Airflow parses imports pyspark
    if found is None or found.origin is None:
        raise MillraceError("pyspark is not installed beside Airflow; run `make setup`")
    return Path(found.origin).parent


def _archive(home: Home) -> Path:
    """Named after the Spark, then the Java and the jars that it is for; it lies beside the jars."""
    java, jars, spark = Path(find_java()).resolve(), jar_files("spark", home), str(spark_home())
    about = [str(java), str(java.stat().st_mtime_ns), spark, *map(str, jars), _JOB.read_text("utf-8")]
    return jars[0].parent / f"classes-{_digest(spark)[:8]}-{_digest(os.linesep.join(about))[:16]}.jsa"


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def _make(archive: Path, home: Home) -> bool:
    """Runs a job that uses what drivers use, and keeps the archive of what it loaded."""
    with progress("Preparing Spark's classes for quick starts"), tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "classes.jsa"
        why_not = _run_job(made, jar_files("spark", home), Path(folder))
        if why_not is not None:
            _log.warning("no archive of Spark's classes, so every driver starts slower: %s", why_not[-_TAIL:])
            return False
        spark = archive.name.rpartition("-")[0]  # another checkout, which shares the folder, keeps its own
        for older in archive.parent.glob(f"{spark}-*.jsa"):
            older.unlink()
        _move(made, archive)
    return True


def _run_job(archive: Path, jars: list[Path], scratch: Path) -> str | None:
    """What the job said where it failed; Java leaves an archive then too."""
    told = [text for key, value in _settings(archive, jars, scratch).items() for text in ("--conf", f"{key}={value}")]
    command = [str(spark_home() / "bin" / "spark-submit"), *told, str(_JOB), str(scratch)]
    environment = {
        **{name: os.environ[name] for name in ("PATH", "HOME", "JAVA_HOME", "LANG") if name in os.environ},
        "SPARK_HOME": str(spark_home()),
        "SPARK_LOCAL_IP": _LOOPBACK,
        "PYSPARK_PYTHON": sys.executable,
        "PYTHONPATH": str(PROJECT_ROOT),
        "TMPDIR": str(scratch),
    }
    try:
        done = subprocess.run(
            command, env=environment, cwd=scratch, capture_output=True, text=True, timeout=_PATIENCE_S, check=False
        )
    except subprocess.TimeoutExpired:
        return f"it took longer than {_PATIENCE_S:.0f} s"
    return None if done.returncode == 0 and archive.exists() else done.stdout + done.stderr


def _settings(archive: Path, jars: list[Path], scratch: Path) -> dict[str, str]:
    """Those of a driver that decide which classes it loads, and from where."""
    return {
        "spark.master": "local[2]",
        "spark.driver.memory": "1g",
        "spark.driver.host": _LOOPBACK,
        "spark.driver.bindAddress": _LOOPBACK,
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.databricks.delta.snapshotPartitions": "2",
        "spark.driver.extraClassPath": os.pathsep.join(map(str, jars)),
        "spark.driver.extraJavaOptions": " ".join([_JAVA, f"-XX:ArchiveClassesAtExit={archive}", *_IN_SILENCE]),
        "spark.sql.warehouse.dir": str(scratch / "warehouse"),
        "spark.local.dir": str(scratch),
    }


def _move(made: Path, archive: Path) -> None:
    """To another file system perhaps, and whole at once."""
    beside = archive.with_suffix(".tmp")
    beside.write_bytes(made.read_bytes())
    beside.replace(archive)

"""What Livy is asked to run: code and jars from the cluster's storage, and no secret."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import jobs
from millrace.environment import Environment
from millrace.lake.code import code_of, package_zip
from millrace.platforms.hdinsight_settings import HdinsightSettings
from millrace.platforms.hdinsight_store import JobStore
from millrace.platforms.protocol import SparkJob
from millrace.platforms.redaction import REDACTION
from millrace.stack.jar_lock import load_jar_set
from millrace.stack.jars import fetch_jars

__all__ = ["CONNECTION_FILE", "Shipped", "batch_body", "ship"]

CONNECTION_FILE = "connection.json"
_TAG = "millrace"


@dataclass(frozen=True)
class Shipped:
    """URIs, on the cluster's storage, of what a job runs."""

    driver: str
    package: str
    jars: tuple[str, ...]


def ship(environment: Environment, job: SparkJob, store: JobStore) -> Shipped:
    """Uploads what is not there yet. Raises MillraceError where the code of the job's version is nowhere."""
    here = Path(jobs.__path__[0])
    package = code_of(environment, job.code.pipeline, job.code.version) if job.code else package_zip(here)
    driver = (here / "cluster_driver.py").read_bytes()
    jar_set = load_jar_set("hdinsight")
    return Shipped(
        driver=store.keep(f"code/{_digest(driver)}/cluster_driver.py", driver),
        package=store.keep(f"code/{_digest(package)}/jobs.zip", package),
        jars=tuple(store.keep_file(f"jars/{jar_set.digest}/{jar.name}", jar) for jar in fetch_jars("hdinsight")),
    )


def batch_body(
    job: SparkJob, job_id: str, tag: str, shipped: Shipped, settings: HdinsightSettings, store: JobStore, secret: bool
) -> dict[str, Any]:
    """The body of `POST /batches`. Livy, YARN and Spark show all of it to whoever looks: no secret is in it.

    With `secret`, the driver finds a file of secrets in its working folder.
    """
    folder = f"jobs/{job_id}"
    return {
        "name": job_id,
        "file": shipped.driver,
        "args": [store.uri(folder), *job.arguments],
        "pyFiles": [shipped.package],
        "jars": list(shipped.jars),
        "files": [store.uri(f"{folder}/{CONNECTION_FILE}")] if secret else [],
        "conf": {**settings.spark, **job.conf, **_conf(job, tag, settings.python, secret)},
    }


def _conf(job: SparkJob, tag: str, python: str, secret: bool) -> Mapping[str, str]:
    """A driver is started once: who supervises it decides whether it starts again."""
    return {
        "spark.app.name": job.name,
        "spark.yarn.tags": f"{_TAG},{tag}",
        "spark.yarn.maxAppAttempts": "1",
        "spark.yarn.appMasterEnv.PYSPARK_PYTHON": python,
        "spark.yarn.appMasterEnv.PYSPARK_DRIVER_PYTHON": python,
        "spark.executorEnv.PYSPARK_PYTHON": python,
        **({"spark.millrace.connection": CONNECTION_FILE} if secret else {}),
        **REDACTION,
    }


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()[:16]

"""What the hdinsight platform asks for and concludes. Whether real servers agree: tests/conformance."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import threading
import uuid
import zipfile
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.environment import Environment, load_environment
from millrace.environment_file import Table
from millrace.platforms import platform_for
from millrace.platforms.hdinsight_batch import Shipped, batch_body, ship
from millrace.platforms.hdinsight_settings import HdinsightSettings
from millrace.platforms.hdinsight_status import status_of_application, status_of_batch
from millrace.platforms.hdinsight_store import JobStore
from millrace.platforms.protocol import JobState, SparkJob
from millrace.stack.containers import ensure_container
from millrace.stack.jar_lock import load_jar_set

NOW = datetime(2026, 11, 20, 2, tzinfo=UTC)
JOB = SparkJob("archive__stock_ticks", ("archive", "--topic", "stock_ticks"), "owner.1", {"spark.executor.cores": "2"})
TABLE = {
    "cluster": "sparkdev",
    "connection": "millrace_hdinsight",
    "container": "spark",
    "path": "millrace",
    "spark": {"spark.executor.cores": 1, "spark.yarn.maxAppAttempts": "5"},
}


def on_hdinsight(environment: Environment, **changes: object) -> Environment:
    """The environment with a table `[hdinsight]`; None takes a field out."""
    values = {name: value for name, value in {**TABLE, **changes}.items() if value is not None}
    table = Table(Path("hdinsight.toml"), "hdinsight", values)
    return dataclasses.replace(environment, platform="hdinsight", platform_table=table)


def bare_environment(folder: Path) -> Environment:
    """An environment that leads nowhere."""
    (folder / "bare.toml").write_text(
        'platform = "hdinsight"\nlake = { account = "lakes", container = "lake", path = "m" }\n'
        'kafka = { bootstrap = "k:9092" }\n'
    )
    return load_environment("bare", folder=folder)


@pytest.fixture
def bare(tmp_path: Path) -> Environment:
    return bare_environment(tmp_path)


@pytest.fixture
def store(environment: Environment) -> JobStore:
    ensure_container(environment)
    return JobStore(environment, environment.storage.container, f"cluster/{uuid.uuid4().hex}")


def test_the_gateway_is_the_clusters(bare: Environment) -> None:
    settings = HdinsightSettings.of(on_hdinsight(bare))
    assert settings.gateway == "https://sparkdev.azurehdinsight.net"
    assert HdinsightSettings.of(on_hdinsight(bare, gateway="https://proxy:8443/")).gateway == "https://proxy:8443"
    assert settings.python == "/usr/bin/miniforge/envs/py38/bin/python"
    assert platform_for(on_hdinsight(bare))


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"cluster": ""}, r"hdinsight\.cluster is ''; give it the Spark cluster's name"),
        ({"cluster": "https://x.azurehdinsight.net"}, r"cluster is 'https://.*give it the name alone"),
        ({"gateway": "http://sparkdev"}, r"gateway is 'http://sparkdev'; write https:// and the host"),
        ({"gateway": "sparkdev.example.org"}, r"gateway is 'sparkdev.example.org'; write https:// and the host"),
        ({"connection": None}, r"hdinsight\.connection is None; give it the Airflow connection"),
        (
            {"spark": {"spark.hadoop.fs.azure.account.key.x": "abc"}},
            r"account\.key\.x is '…'; secrets do not stand in a",
        ),
        (
            {"spark": {"spark.hadoop.fs.azure.sas.c.x": "abc"}},
            r"secrets do not stand in a file: Livy, YARN and Spark sh",
        ),
        ({"spark": {"spark.driver.extraJavaOptions": "-Dx.keyStorePassword=abc"}}, r"Options is '…'; secrets do not"),
        ({"user": "admin"}, r"hdinsight\.user is 'admin'; that is no setting; use one of: cluster, "),
        ({"spark": "fast"}, r"hdinsight\.spark is 'fast'; write a table"),
    ],
)
def test_an_unsound_table_is_refused(bare: Environment, changes: dict[str, object], complaint: str) -> None:
    with pytest.raises(MillraceError, match=complaint):
        HdinsightSettings.of(on_hdinsight(bare, **changes))


def test_what_livy_is_asked_to_run_holds_no_secret_and_pins_what_matters(environment: Environment) -> None:
    azure = on_hdinsight(environment)
    settings, store = HdinsightSettings.of(azure), JobStore(azure, "spark", "millrace")
    shipped = Shipped("abfs://driver.py", "abfs://jobs.zip", ("abfs://a.jar",))
    body = batch_body(JOB, "the-id", "abc123", shipped, settings, store, secret=True)
    account = "devstoreaccount1.dfs.core.windows.net"
    assert body["args"] == [f"abfs://spark@{account}/millrace/jobs/the-id", *JOB.arguments]
    assert body["files"] == [f"abfs://spark@{account}/millrace/jobs/the-id/connection.json"]
    conf = body["conf"]
    assert conf["spark.executor.cores"] == "2", "the job's own setting counts"
    assert conf["spark.yarn.maxAppAttempts"] == "1", "and nobody's makes YARN restart a driver"
    assert conf["spark.yarn.tags"] == "millrace,abc123"
    pinned = (
        "yarn.appMasterEnv.PYSPARK_PYTHON",
        "yarn.appMasterEnv.PYSPARK_DRIVER_PYTHON",
        "executorEnv.PYSPARK_PYTHON",
    )
    for name in pinned:
        assert conf[f"spark.{name}"] == "/usr/bin/miniforge/envs/py38/bin/python"
    assert environment.account_key() not in json.dumps(body)
    assert batch_body(JOB, "the-id", "abc123", shipped, settings, store, secret=False)["files"] == []


def test_the_jars_of_drivers_are_pinned_as_for_the_tests_on_spark_33() -> None:
    ours, tested = load_jar_set("hdinsight").jars, load_jar_set("spark33").jars
    assert set(ours) < set(tested)
    assert {"delta-core_2.12", "spark-sql-kafka-0-10_2.12", "kafka-clients"} <= {jar.artifact for jar in ours}


@pytest.mark.stack
def test_code_and_jars_are_uploaded_once(environment: Environment, store: JobStore) -> None:
    first = ship(environment, JOB, store)
    package = store.read(first.package.removeprefix(store.uri("")))
    assert package is not None
    assert zipfile.is_zipfile(io.BytesIO(package))
    folder = first.package.removeprefix(store.uri("")).strip("/").split("/")[-2]
    assert len(folder) >= 12
    assert hashlib.sha256(package).hexdigest().startswith(folder), "other code lies elsewhere"
    assert ship(environment, JOB, store) == first
    assert len(first.jars) == len(load_jar_set("hdinsight").jars)


@pytest.mark.stack
def test_one_submission_of_a_name_at_a_time(store: JobStore) -> None:
    inside, most = [], []
    lock = threading.Lock()

    def submit(number: int) -> None:
        with store.exclusive("archive"):
            with lock:
                inside.append(number)
                most.append(len(inside))
            store.write_json("names/archive.json", {"job": number})
            with lock:
                inside.remove(number)

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(submit, range(4)))
    assert most == [1, 1, 1, 1]


@pytest.mark.parametrize(
    ("state", "final", "diagnostics", "expected"),
    [
        ("ACCEPTED", "UNDEFINED", "", (JobState.RUNNING, None)),
        ("FINISHED", "SUCCEEDED", "", (JobState.SUCCEEDED, 0)),
        ("FINISHED", "FAILED", "User application exited with status 3", (JobState.FAILED, 3)),
        ("FINISHED", "FAILED", "SparkUserAppException: User application exited with 4\n", (JobState.FAILED, 4)),
        ("FAILED", "FAILED", "AM Container for x exited with  exitCode: 137\nKilled", (JobState.FAILED, 137)),
        ("FAILED", "FAILED", "the queue is full", (JobState.FAILED, None)),
        ("KILLED", "KILLED", "killed by user", (JobState.CANCELLED, None)),
    ],
)
def test_yarns_words_become_a_state_and_an_exit_code(
    state: str, final: str, diagnostics: str, expected: tuple[JobState, int | None]
) -> None:
    finished = int(NOW.timestamp() * 1000) + 5000
    told = {"state": state, "finalStatus": final, "diagnostics": diagnostics, "finishedTime": finished}
    status = status_of_application(told, NOW)
    assert (status.state, status.exit_code) == expected
    assert status.started_at == NOW
    assert status.state is JobState.RUNNING or status.uptime.total_seconds() == 5


def test_a_submission_that_failed_before_yarn_is_a_failure() -> None:
    assert status_of_batch({"state": "starting"}, NOW).state is JobState.RUNNING
    assert status_of_batch({"state": "dead"}, NOW).state is JobState.FAILED

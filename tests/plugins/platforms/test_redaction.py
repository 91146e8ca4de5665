"""No secret in Spark's UI: every setting with one, of every platform, has a name that Spark blots out."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from jobs.errors import MillraceError
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.platforms.databricks_cluster import cluster_for
from millrace.platforms.databricks_settings import DatabricksSettings
from millrace.platforms.hdinsight_batch import Shipped, batch_body
from millrace.platforms.hdinsight_settings import HdinsightSettings
from millrace.platforms.hdinsight_store import JobStore
from millrace.platforms.local_folder import JobFolder
from millrace.platforms.local_spark import spark_launch
from millrace.platforms.protocol import SparkJob

KEY, PASSWORD, LAKE_KEY = "cHJpdmF0ZQ-of-a-client", "pass-0123456789-word", "bGFrZQ-0123456789"
SECRETS = (KEY, PASSWORD, LAKE_KEY, "{{secrets/")
JOB = SparkJob("query", ("archive",), "run.1")
FILE = """
platform = "{platform}"
[lake]
account = "millracelake"
container = "lake"
path = "millrace"
key_connection = "lake"
[kafka]
bootstrap = "wn0-kafka:9092"
connection = "kafka"
"ssl.ca.location" = "{folder}/ca.pem"
"ssl.certificate.location" = "{folder}/client.pem"
"ssl.key.location" = "{folder}/client.key"
[hdinsight]
cluster = "sparkdev"
connection = "gateway"
container = "spark"
path = "millrace"
[databricks]
host = "https://adb-1.2.azuredatabricks.net"
code = "/Volumes/main/millrace/code"
[databricks.spark]
"spark.ours.own" = "{{{{secrets/other/own}}}}"
[databricks.secrets]
"millrace.kafka.sasl.jaas.config" = "kafka-jaas"
"millrace.kafka.ssl.keystore.key" = "kafka-key"
"fs.azure.account.key.millracelake.dfs.core.windows.net" = "lake-key"
"fs.azure.sas.lake.millracelake.dfs.core.windows.net" = "lake-sas"
"fs.azure.account.oauth2.client.secret.millracelake.dfs.core.windows.net" = "lake-client"
"called.as.nobody.guesses" = "something"
"""


def local(environment: Environment, folder: Path) -> dict[str, str]:
    """What spark-submit is given."""
    place = JobFolder(folder / "job")
    place.path.mkdir()
    spark_launch(environment, JOB, place, Home.current())
    lines = place.properties.read_text().splitlines()
    return {name: value for name, _, value in (line.partition("=") for line in lines)}


def hdinsight(environment: Environment, folder: Path) -> dict[str, str]:
    """What Livy is given; and the file beside it, whose settings the driver gives to Hadoop."""
    settings, store = HdinsightSettings.of(environment), JobStore(environment, "spark", "millrace")
    conf = batch_body(JOB, "id", "tag", Shipped("driver", "package", ()), settings, store, secret=True)["conf"]
    assert not any(secret in json.dumps(conf) for secret in SECRETS)
    return {**conf, **environment.hadoop_options()}


def databricks(environment: Environment, folder: Path) -> dict[str, str]:
    """What a job's cluster is given, its secrets by reference: Databricks puts them in."""
    settings = DatabricksSettings.of(environment.platform_table)
    return dict(cluster_for(JOB, environment, settings, "POLICY").spark_conf or {})


@pytest.fixture
def load(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Environment]:
    for name, text in (("ca.pem", "CA"), ("client.pem", "CHAIN"), ("client.key", KEY)):
        (tmp_path / name).write_text(text)
    (tmp_path / "client.key").chmod(0o600)
    for name, password in (("lake", LAKE_KEY), ("kafka", PASSWORD)):
        held = {"conn_type": "generic", "login": "somebody", "password": password}
        monkeypatch.setenv(f"AIRFLOW_CONN_{name.upper()}", json.dumps(held))

    def load(platform: str) -> Environment:
        text = FILE.format(platform=platform, folder=tmp_path)
        other = {"hdinsight": "databricks", "databricks": "hdinsight"}[platform]
        tables = re.split(r"^(?=\[)", text, flags=re.MULTILINE)
        (tmp_path / "own.toml").write_text("".join(one for one in tables if not one.startswith(f"[{other}")))
        return load_environment("own", folder=tmp_path)

    return load


@pytest.mark.parametrize(
    ("settings_of", "platform", "count"),
    [(local, "hdinsight", 3), (hdinsight, "hdinsight", 3), (databricks, "databricks", 7)],
)
def test_every_setting_with_a_secret_has_a_name_that_spark_blots_out(
    settings_of: Callable[[Environment, Path], dict[str, str]],
    platform: str,
    count: int,
    load: Callable[[str], Environment],
    tmp_path: Path,
) -> None:
    found = settings_of(load(platform), tmp_path)
    blotted = re.compile(found["spark.redaction.regex"])
    secret = [name for name, value in found.items() if any(one in value for one in SECRETS)]
    assert len(secret) == count, secret
    assert [name for name in secret if not blotted.search(name)] == []
    assert not blotted.search("spark.executor.memory")
    assert not blotted.search("spark.hadoop.millrace.kafka.sasl.mechanism")


def test_a_private_key_that_others_may_read_is_refused(load: Callable[[str], Environment], tmp_path: Path) -> None:
    (tmp_path / "client.key").chmod(0o640)
    with pytest.raises(MillraceError, match=r"client\.key: its mode is 640; .*chmod 600"):
        load("hdinsight")


def test_a_file_cannot_switch_it_off(load: Callable[[str], Environment], tmp_path: Path) -> None:
    for platform, settings_of in (("hdinsight", hdinsight), ("databricks", databricks)):
        environment = load(platform)
        text = (tmp_path / "own.toml").read_text()
        own = '"spark.redaction.regex" = "nothing"\n'
        text = text.replace("[databricks.spark]\n", f"[databricks.spark]\n{own}")
        (tmp_path / "own.toml").write_text(text + (f"[hdinsight.spark]\n{own}" if platform == "hdinsight" else ""))
        environment = load_environment("own", folder=tmp_path)
        assert settings_of(environment, tmp_path)["spark.redaction.regex"].startswith("(?i)secret|password")


def test_a_plain_secret_is_refused_wherever_a_file_may_hold_settings(
    load: Callable[[str], Environment], tmp_path: Path
) -> None:
    environment = load("databricks")
    text = (tmp_path / "own.toml").read_text().replace('"{{secrets/other/own}}"', '"AccountKey=abc"')
    (tmp_path / "own.toml").write_text(text)
    environment = load_environment("own", folder=tmp_path)
    with pytest.raises(MillraceError, match=r"spark\.ours\.own is '…'; secrets do not stand in a file") as caught:
        DatabricksSettings.of(environment.platform_table)
    assert "abc" not in str(caught.value)

"""What an environment's file makes of a Databricks job: its cluster, its login, its policy; and what is refused."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

import jobs
from jobs.errors import MillraceError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.builders.stream_jobs import alerts_job, archive_job, speed_job
from millrace.environment import Environment, load_environment
from millrace.home import Home
from millrace.lake.code import package_zip
from millrace.platforms import platform_for
from millrace.platforms.databricks import DatabricksPlatform
from millrace.platforms.databricks_client import connect_workspace
from millrace.platforms.databricks_cluster import cluster_for
from millrace.platforms.databricks_policy import definition, policy_id, prepare_policy
from millrace.platforms.databricks_preparation import KeyVault, prepare
from millrace.platforms.databricks_settings import REAL_TIME, DatabricksSettings
from millrace.platforms.databricks_wheel import WHEEL, wheel_of
from millrace.platforms.graceful import is_endless
from millrace.platforms.protocol import SparkJob
from tests.plugins.platforms.databricks.drivers import TOKEN
from tests.plugins.platforms.databricks.server import Server
from tests.plugins.platforms.databricks.wire_types import check

SECRET = "s3cr3t-0123456789"
PLAIN = """
platform = "databricks"
[lake]
account = "millracelake"
container = "lake"
path = "millrace"
[kafka]
bootstrap = "wn0-kafka:9092"
[databricks]
host = "https://adb-1.2.azuredatabricks.net"
code = "/Volumes/main/millrace/code"
"""
HUBS = PLAIN.replace("[databricks]", 'connection = "hubs"\n[databricks]') + (
    '[databricks.secrets]\n"millrace.kafka.sasl.jaas.config" = "kafka-jaas"\n'
)
JOB = SparkJob("query", ("archive",), "run.1", conf={"spark.sql.shuffle.partitions": "8"})


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Home:
    monkeypatch.setenv("MILLRACE_HOME", str(tmp_path / "home"))
    return Home.current()


def load(folder: Path, text: str = PLAIN) -> Environment:
    (folder / "azure.toml").write_text(text)
    return load_environment("azure", folder=folder)


def settings_of(environment: Environment) -> DatabricksSettings:
    return DatabricksSettings.of(environment.platform_table)


def cluster(folder: Path, text: str = PLAIN, job: SparkJob = JOB) -> dict[str, Any]:
    environment = load(folder, text)
    spec = cluster_for(job, environment, settings_of(environment), "POLICY")
    check(spec.as_dict(), type(spec), "new_cluster")
    return dict(spec.as_dict())


def keep(home: Home, connection: str, login: str, password: str = SECRET) -> None:
    path = home.secrets / "connections" / f"{connection}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.touch(mode=0o600)
    path.write_text(json.dumps({"login": login, "password": password}))


def test_a_cluster_has_the_pinned_runtime_its_policy_and_nothing_that_grows(tmp_path: Path) -> None:
    found = cluster(tmp_path)
    assert found["spark_conf"].pop("spark.redaction.regex"), "see test_redaction.py"
    assert found == {
        "spark_version": "17.3.x-scala2.13",
        "policy_id": "POLICY",
        "node_type_id": "Standard_D4ds_v5",
        "num_workers": 1,
        "data_security_mode": "SINGLE_USER",
        "runtime_engine": "STANDARD",
        "custom_tags": {"millrace-environment": "azure"},
        "spark_conf": {
            "spark.millrace.stateStore": "com.databricks.sql.streaming.state.RocksDBStateStoreProvider",
            "spark.sql.shuffle.partitions": "8",
        },
    }


@pytest.mark.parametrize("runtime", ["17.2.x-scala2.13", "17.3", "17.3.x-photon-scala2.13", "13.3.x-scala2.12"])
def test_a_runtime_without_long_term_support_is_refused(tmp_path: Path, runtime: str) -> None:
    """13.3 LTS, too: its support has ended in August 2026."""
    with pytest.raises(MillraceError, match=rf"databricks.runtime is '{runtime}'; .* use one of: 15.4.x-scala2.12, "):
        cluster(tmp_path, PLAIN + f'runtime = "{runtime}"\n')


def test_alerts_need_a_runtime_with_real_time_mode_and_nothing_else_does(tmp_path: Path) -> None:
    for runtime in ("15.4.x-scala2.12", "16.4.x-scala2.12"):
        text = PLAIN + f'runtime = "{runtime}"\n'
        assert cluster(tmp_path, text)["spark_version"] == runtime
    assert cluster(tmp_path, text, replace(JOB, task_slots=4))["spark_version"] == "16.4.x-scala2.12"
    with pytest.raises(MillraceError, match=r"runtime is '15.4.x-scala2.12'; real-time mode needs 16.4 or newer"):
        cluster(tmp_path, text.replace("16.4", "15.4"), replace(JOB, task_slots=4))


def test_the_job_of_alerts_is_in_real_time_mode_and_no_other_is(tmp_path: Path) -> None:
    environment, every = load(tmp_path), timedelta(seconds=10)
    alerts = alerts_job(stock_high_low, every, environment, "run.1")
    others = [archive_job(stock_ticks, every, environment, "run.1"), speed_job("x", "v", every, environment, "run.1")]
    found = [cluster(tmp_path, job=job)["spark_conf"].get(REAL_TIME) for job in (alerts, *others)]
    assert found == ["true", None, None]
    spec = cluster(tmp_path, job=alerts)
    assert (spec["runtime_engine"], spec["num_workers"], "autoscale" in spec) == ("STANDARD", 1, False)
    assert is_endless(alerts.arguments)


@pytest.mark.parametrize(
    ("lines", "partitions", "is_enough"),
    [
        ("", 4, True),
        ("", 5, False),
        ("workers = 2\n", 8, True),
        ("workers = 2\n", 9, False),
        ("workers = 0\n", 5, False),
        ('node_type = "Standard_E16ds_v5"\n', 16, True),
        ('node_type = "Standard_E16ds_v5"\n', 17, False),
        ('pool = "1121-0-pool"\n', 99, True),
    ],
)
def test_real_time_mode_needs_a_core_for_each_partition(
    tmp_path: Path, lines: str, partitions: int, is_enough: bool
) -> None:
    wide = replace(stock_high_low, topic=replace(stock_ticks, partitions=partitions))
    job = alerts_job(wide, timedelta(seconds=10), load(tmp_path, PLAIN + lines), "run.1")
    if is_enough:
        cluster(tmp_path, PLAIN + lines, job)
    else:
        with pytest.raises(MillraceError, match=rf"reads {partitions} partitions at once.*raise databricks\.workers"):
            cluster(tmp_path, PLAIN + lines, job)


def test_a_driver_alone_is_a_single_node(tmp_path: Path) -> None:
    found = cluster(tmp_path, PLAIN + "workers = 0\n")
    assert found["num_workers"] == 0
    assert found["spark_conf"]["spark.databricks.cluster.profile"] == "singleNode"
    assert found["custom_tags"]["ResourceClass"] == "SingleNode"


def test_a_pool_takes_the_place_of_the_node_type(tmp_path: Path) -> None:
    found = cluster(tmp_path, PLAIN + 'pool = "1121-0-pool"\n')
    assert (found["instance_pool_id"], found.get("node_type_id")) == ("1121-0-pool", None)


def test_logs_are_delivered_where_a_volume_is_named(tmp_path: Path) -> None:
    found = cluster(tmp_path, PLAIN + 'logs = "/Volumes/main/millrace/logs"\n')
    assert found["cluster_log_conf"] == {"volumes": {"destination": "/Volumes/main/millrace/logs"}}


def test_event_hubs_login_is_a_reference_that_the_cluster_resolves(tmp_path: Path) -> None:
    conf = cluster(tmp_path, HUBS)["spark_conf"]
    assert conf["spark.hadoop.millrace.kafka.sasl.jaas.config"] == "{{secrets/millrace/kafka-jaas}}"
    assert conf["spark.hadoop.millrace.kafka.security.protocol"] == "SASL_SSL"
    assert conf["spark.hadoop.millrace.kafka.sasl.mechanism"] == "PLAIN"


@pytest.mark.parametrize(
    ("text", "missing"),
    [
        (HUBS.replace("sasl.jaas.config", "other"), "millrace.kafka.sasl.jaas.config"),
        (
            PLAIN.replace("[kafka]", 'key_connection = "lake"\n[kafka]'),
            "fs.azure.account.key.millracelake.dfs.core.windows.net",
        ),
    ],
)
def test_a_secret_without_a_name_in_the_scope_is_an_error_with_the_line_to_write(
    tmp_path: Path, text: str, missing: str
) -> None:
    with pytest.raises(MillraceError) as error:
        cluster(tmp_path, text)
    assert f'[databricks.secrets] "{missing}" = ' in str(error.value)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("workers = -1", "databricks.workers is -1"),
        ('hots = "x"', "databricks.hots is 'x'; that is no setting"),
        ('logs = "dbfs:/logs"', "databricks.logs is 'dbfs:/logs'; write a folder of a volume"),
        ('login = "aad"', "databricks.login is 'aad'; use one of: databricks, entra"),
        (
            '[databricks.spark]\n"spark.databricks.streaming.realTimeMode.enabled" = "true"',
            "realTimeMode.enabled is 'true'; the jobs of alerts have it by themselves; archives, speed layers and",
        ),
        ('[databricks.spark]\n"fs.azure.account.key.x" = "abc"', "secrets do not stand in a file"),
        ('[databricks.spark]\n"spark.driver.extraJavaOptions" = "-Dx.trustStorePassword=abc"', "secrets do not stand"),
        ('[databricks.spark]\n"spark.hadoop.x.oauth2.client.secret" = "abc"', "secrets do not stand in a file"),
    ],
)
def test_an_unsound_line_is_told_with_its_remedy(tmp_path: Path, line: str, message: str) -> None:
    with pytest.raises(MillraceError) as error:
        settings_of(load(tmp_path, f"{PLAIN}{line}\n"))
    assert message in str(error.value)
    assert "abc" not in str(error.value)


@pytest.mark.parametrize("host", ["adb-1.2.azuredatabricks.net", "http://adb-1.2.azuredatabricks.net", ""])
def test_a_login_is_sent_encrypted_or_not_at_all(tmp_path: Path, host: str) -> None:
    with pytest.raises(MillraceError, match=r"databricks\.host"):
        settings_of(load(tmp_path, PLAIN.replace("https://adb-1.2.azuredatabricks.net", host)))


def test_the_environment_in_the_repository_says_what_to_fill_in(tmp_path: Path) -> None:
    with pytest.raises(MillraceError, match=r"lake\.account is ''"):
        load_environment("databricks")


def test_an_environments_platform_is_the_one_it_names(tmp_path: Path) -> None:
    platform = platform_for(load(tmp_path))
    assert isinstance(platform, DatabricksPlatform)
    assert platform.prefix == "millrace/azure/"


def test_the_policy_is_made_once_kept_and_set_right(server: Server, tmp_path: Path, home: Home) -> None:
    keep(home, "dbx", "token", TOKEN)
    server.access.add(TOKEN)
    settings = dataclasses.replace(settings_of(load(tmp_path)), host=server.host, connection="dbx")
    workspace = connect_workspace(settings)
    with pytest.raises(MillraceError, match="run `millrace azure databricks`"):
        policy_id(workspace, settings.policy)
    assert prepare_policy(workspace, settings).startswith("created")
    made = policy_id(workspace, settings.policy)
    assert prepare_policy(workspace, settings).endswith("is there")
    server.workspace.policies[made]["definition"] = "{}"
    assert prepare_policy(workspace, settings).startswith("corrected")
    assert json.loads(server.workspace.policies[made]["definition"]) == definition(settings)
    assert list(server.workspace.policies) == [made]


def test_a_workspace_is_made_ready_once(server: Server, tmp_path: Path, home: Home) -> None:
    keep(home, "dbx", "token", TOKEN)
    server.access.add(TOKEN)
    text = HUBS.replace("https://adb-1.2.azuredatabricks.net", server.host)
    settings = dataclasses.replace(settings_of(load(tmp_path, text)), connection="dbx")
    workspace = connect_workspace(settings)
    vault = KeyVault(
        "/subscriptions/1/resourceGroups/g/providers/Microsoft.KeyVault/vaults/v", "https://v.vault.azure.net/"
    )
    with pytest.raises(MillraceError, match="no secret scope 'millrace'; give the Key Vault"):
        list(prepare(workspace, settings, None))
    with pytest.raises(MillraceError, match="no secret 'kafka-jaas'; put it into the Key Vault"):
        list(prepare(workspace, settings, vault))
    server.workspace.secrets["millrace", "kafka-jaas"] = SECRET
    list(prepare(workspace, settings, vault))
    sent = [request.path for request in server.requests if request.method == "POST"]
    assert sent == ["/api/2.0/policies/clusters/create", "/api/2.0/secrets/scopes/create"]


def test_the_policy_pins_the_runtime_and_bounds_the_cost(tmp_path: Path) -> None:
    found = definition(settings_of(load(tmp_path, PLAIN + "workers = 3\n")))
    assert found["spark_version"] == {"type": "fixed", "value": "17.3.x-scala2.13"}
    assert found["num_workers"] == {"type": "range", "maxValue": 3}
    assert found["node_type_id"] == {"type": "allowlist", "values": ["Standard_D4ds_v5"]}


def test_a_service_principals_token_that_is_no_longer_good_is_fetched_again(
    server: Server, tmp_path: Path, home: Home
) -> None:
    keep(home, "dbx", "application-id")
    server.logins["application-id"] = SECRET
    workspace = connect_workspace(dataclasses.replace(settings_of(load(tmp_path)), host=server.host, connection="dbx"))
    assert workspace.call("list", lambda client: list(client.jobs.list())) == []
    server.access.clear()  # as when it expires, or is revoked
    assert workspace.call("list", lambda client: list(client.jobs.list())) == []
    assert [request.path for request in server.requests].count("/oidc/v1/token") == 2


@pytest.mark.parametrize("refusal", [(401, "UNAUTHENTICATED"), (403, "PERMISSION_DENIED")])
def test_a_renewed_access_token_is_taken_from_the_connection(
    server: Server, tmp_path: Path, home: Home, refusal: tuple[int, str]
) -> None:
    server.refusal = refusal
    keep(home, "dbx", "token", "old-token")
    server.access.add("old-token")
    workspace = connect_workspace(dataclasses.replace(settings_of(load(tmp_path)), host=server.host, connection="dbx"))
    assert workspace.call("list", lambda client: list(client.jobs.list())) == []
    server.access = {"new-token"}
    keep(home, "dbx", "token", "new-token")
    assert workspace.call("list", lambda client: list(client.jobs.list())) == []


@pytest.mark.parametrize(
    ("refusal", "told"),
    [((401, "UNAUTHENTICATED"), "accept the login"), ((403, "PERMISSION_DENIED"), "allow it")],
)
def test_a_login_that_is_not_accepted_is_an_error_without_the_login(
    server: Server, tmp_path: Path, home: Home, refusal: tuple[int, str], told: str
) -> None:
    server.refusal = refusal
    keep(home, "dbx", "token")
    workspace = connect_workspace(dataclasses.replace(settings_of(load(tmp_path)), host=server.host, connection="dbx"))
    with pytest.raises(MillraceError, match=rf"list the jobs: http.* does not {told}.*renew what the") as error:
        workspace.call("list the jobs", lambda client: list(client.jobs.list()))
    assert SECRET not in str(error.value)


def test_logins_of_the_machines_own_environment_are_not_used(
    server: Server, tmp_path: Path, home: Home, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DATABRICKS_TOKEN", "DATABRICKS_CLIENT_SECRET", "ARM_CLIENT_SECRET", "DATABRICKS_CLIENT_ID"):
        monkeypatch.setenv(name, "another-login")
    keep(home, "dbx", "token", TOKEN)
    server.access.add(TOKEN)
    workspace = connect_workspace(dataclasses.replace(settings_of(load(tmp_path)), host=server.host, connection="dbx"))
    assert workspace.call("list", lambda client: list(client.jobs.list())) == []


def test_the_wheel_of_our_jobs_installs_and_offers_the_driver(tmp_path: Path) -> None:
    wheel, place = tmp_path / WHEEL, tmp_path / "installed"
    wheel.write_bytes(wheel_of(package_zip(Path(jobs.__path__[0]))))
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-compile"]
    subprocess.run([*pip, "--target", str(place), str(wheel)], check=True)
    ours = {path.relative_to(jobs.__path__[0]) for path in Path(jobs.__path__[0]).rglob("*.py")}
    assert {path.relative_to(place / "jobs") for path in (place / "jobs").rglob("*.py")} == ours
    called = "import sys; sys.argv = ['driver', 'owner', 'submission', '--help']"
    called += "; from millrace_databricks_entry import main; main()"
    done = subprocess.run(
        [sys.executable, "-c", called], env={"PYTHONPATH": str(place)}, check=True, capture_output=True, text=True
    )
    assert "archive a topic" in done.stdout


def test_the_same_code_makes_the_same_wheel_and_other_code_another() -> None:
    package = package_zip(Path(jobs.__path__[0]))
    other = package_zip(Path(jobs.__path__[0]) / "decode")
    assert wheel_of(package) == wheel_of(package)
    assert wheel_of(package) != wheel_of(other)

"""The DAG files, parsed in a process of their own."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from jobs.pipelines import pipeline_names, pipelines_with_alerts
from jobs.topics import TOPICS
from millrace.home import PROJECT_ROOT
from tests.dags.parsing import parse_dags

FILES = sorted((PROJECT_ROOT / "dags").glob("*.py"))
NAMES = [file.name for file in FILES]
# One line of a DAG file each, and the audit event that it raises. `done` is a folder.
EFFECTS = {
    "writes": ("open('file', 'w').close()", "open"),
    "appends": ("__import__('pathlib').Path('file').open('a').close()", "open"),
    "creates": ("os.close(os.open('file', os.O_CREAT))", "open"),
    "makes_a_folder": ("os.makedirs('folder/below')", "os.mkdir"),
    "renames": ("os.rename('done', 'renamed')", "os.rename"),
    "replaces": ("__import__('pathlib').Path('renamed').replace('done')", "os.rename"),
    "removes_a_folder": ("os.rmdir('done')", "os.rmdir"),
    "removes": ("__import__('pathlib').Path('nothing').unlink(missing_ok=True)", "os.remove"),
    "runs_a_shell": ("os.system('true')", "os.system"),
    "runs_a_program": ("__import__('subprocess').run(['true'])", "subprocess.Popen"),
    "spawns": ("os.waitpid(os.posix_spawn('/bin/true', ['true'], {}), 0)", "os.posix_spawn"),
    "forks": ("os.fork() or os._exit(0)", "os.fork"),
    "starts_a_thread": ("import threading as t; t.Thread(target=t.Event().wait, daemon=True).start()", "thread"),
    "connects": ("socket.socket().connect_ex(('127.0.0.1', 9))", "socket.connect"),
    "listens": ("socket.socket().bind(('127.0.0.1', 0))", "socket.bind"),
    "sends": ("socket.socket(type=socket.SOCK_DGRAM).sendto(b'', ('127.0.0.1', 9))", "socket.sendto"),
    "looks_up": ("socket.getaddrinfo('127.0.0.1', 9)", "socket.getaddrinfo"),
    "opens_a_database": ("__import__('sqlite3').connect(':memory:')", "sqlite3.connect"),
}
OTHER_BAD = {
    "loads_spark": "import pyspark",
    "loads_nothing": "import this_is_not_there",
    "is_slow": "import time; end = time.process_time() + 1\nwhile time.process_time() < end: pass",
}


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Of the DAG files, and of bad ones, which do what none may, one thing each. One start of Airflow for all."""
    folder = tmp_path_factory.mktemp("airflow")
    (folder / "done").mkdir()
    lines = {name: f"import os, socket; {line}" for name, (line, _) in EFFECTS.items()} | OTHER_BAD
    for name, line in lines.items():
        (folder / f"{name}.py").write_text(f"from airflow.sdk import DAG\n{line}\nDAG({name!r})\n")
    return parse_dags([*FILES, *(folder / f"{name}.py" for name in lines)], folder)


@pytest.fixture(scope="module")
def parsed(outcomes: dict[str, Any]) -> dict[str, Any]:
    return {name: outcomes[name] for name in NAMES}


@pytest.fixture(scope="module")
def dags(parsed: dict[str, Any]) -> dict[str, Any]:
    return {dag_id: dag for file in parsed.values() for dag_id, dag in file["dags"].items()}


@pytest.mark.parametrize("file", NAMES)
def test_every_file_imports(parsed: dict[str, Any], file: str) -> None:
    assert parsed[file]["errors"] == {}
    assert parsed[file]["dags"]


@pytest.mark.parametrize("file", NAMES)
def test_every_file_is_parsed_in_under_a_second(parsed: dict[str, Any], file: str) -> None:
    assert parsed[file]["cpu_seconds"] < 1


@pytest.mark.parametrize("file", NAMES)
def test_parsing_loads_neither_spark_nor_any_client(parsed: dict[str, Any], file: str) -> None:
    assert parsed[file]["heavy"] == []


@pytest.mark.parametrize("file", NAMES)
def test_parsing_writes_nothing_connects_to_nothing_and_starts_nothing(parsed: dict[str, Any], file: str) -> None:
    assert parsed[file]["seen"] == []


@pytest.fixture(scope="module")
def bad(outcomes: dict[str, Any]) -> dict[str, Any]:
    return {name: outcomes[f"{name}.py"] for name in (*EFFECTS, *OTHER_BAD)}


@pytest.mark.parametrize("name", EFFECTS)
def test_what_a_file_does_to_the_world_is_seen(bad: dict[str, Any], name: str) -> None:
    assert bad[name]["errors"] == {}
    events = [told.partition(" ")[0] for told in bad[name]["seen"]]
    assert EFFECTS[name][1] in events


def test_what_a_file_loads_and_how_long_it_takes_is_its_own(bad: dict[str, Any]) -> None:
    assert [name for name, file in bad.items() if file["heavy"]] == ["loads_spark"]
    assert [name for name, file in bad.items() if file["errors"]] == ["loads_nothing"]
    assert bad["is_slow"]["cpu_seconds"] > 1 > bad["writes"]["cpu_seconds"]


def test_every_topic_and_pipeline_has_its_dags(dags: dict[str, Any]) -> None:
    declared = {f"archive__{topic}" for topic in TOPICS}
    declared |= {f"{name}__{part}" for name in pipeline_names() for part in ("speed", "batch", "upgrade")}
    declared |= {f"{pipeline.name}__alerts" for pipeline in pipelines_with_alerts()}
    others = {"provision", "scale", "teardown", "produce_stock_ticks", "replay_stock_ticks"}
    others |= {"redecode", "accept_loss", "maintain"}
    assert set(dags) >= declared | others


@pytest.mark.parametrize("dag_id", ["archive__stock_ticks", "stock_high_low__speed", "stock_high_low__alerts"])
def test_a_stream_is_one_run_that_is_followed_by_a_teardown(dags: dict[str, Any], dag_id: str) -> None:
    dag = dags[dag_id]
    assert (dag["schedule"], dag["max_active_runs"], dag["catchup"]) == ("@once", 1, False)
    assert dag["tasks"] == {"stream": ["ensure_stopped"], "ensure_stopped": []}
    assert dag["teardowns"] == ["ensure_stopped"]
    for line in ("mark the task", "clear the task", "pause the DAG", "After 5 drivers in a row"):
        assert line in dag["doc"]


def test_a_dag_of_alerts_says_what_a_restart_sends_again(dags: dict[str, Any]) -> None:
    doc = dags["stock_high_low__alerts"]["doc"]
    assert "from the Kafka topic `stock_ticks` to `stock_alerts`" in doc
    assert "delivered at least once: after a driver was killed, those of up to 10 s\ncome again" in doc


def test_the_batch_layer_covers_intervals_of_data_step_by_step(dags: dict[str, Any]) -> None:
    dag = dags["stock_high_low__batch"]
    assert (dag["timetable"], dag["schedule"]) == ("CronDataIntervalTimetable", "0 2 * * *")
    assert (dag["max_active_runs"], dag["catchup"]) == (3, False)
    assert dag["tasks"] == {
        "intervals": ["interval_run.certify", "interval_run.compare", "interval_run.publish", "interval_run.reprocess"],
        "interval_run.certify": ["interval_run.compare", "interval_run.publish", "interval_run.reprocess"],
        "interval_run.reprocess": ["interval_run.compare", "interval_run.publish"],
        "interval_run.compare": ["interval_run.publish"],
        "interval_run.publish": [],
    }


def test_an_upgrade_switches_after_both_layers_are_ready_and_somebody_has_agreed(dags: dict[str, Any]) -> None:
    dag = dags["stock_high_low__upgrade"]
    assert (dag["schedule"], dag["max_active_runs"]) == (None, 1)
    group = ["interval_run.certify", "interval_run.compare", "interval_run.publish", "interval_run.reprocess"]
    tasks = {name: set(after) - {"withdraw"} for name, after in dag["tasks"].items()}
    assert tasks["plan"] == {"candidate", "intervals", "caught_up", "compare_versions", "switch"}
    assert tasks["candidate"] == {"ensure_stopped"}
    assert tasks["intervals"] == set(group)
    assert tasks["interval_run.publish"] == tasks["caught_up"] == {"compare_versions"}
    assert (tasks["compare_versions"], tasks["approve"], tasks["switch"]) == ({"approve"}, {"switch"}, set())
    assert {name for name, after in dag["tasks"].items() if "withdraw" not in after} == {
        "ensure_stopped",
        "withdraw",
        *("intervals", "interval_run.certify", "interval_run.compare", "interval_run.reprocess"),
    }
    assert dag["teardowns"] == ["ensure_stopped"]


def test_redecode_asks_for_a_declared_topic_and_runs_once_at_a_time(dags: dict[str, Any]) -> None:
    dag = dags["redecode"]
    assert dag["params"]["topic"]["enum"] == sorted(TOPICS)
    assert (dag["schedule"], dag["max_active_runs"], dag["tasks"]) == (None, 1, {"redecode": []})


def test_maintenance_keeps_speed_rows_for_longer_than_nightly_runs_look_back(dags: dict[str, Any]) -> None:
    dag = dags["maintain"]
    assert (dag["schedule"], dag["max_active_runs"], dag["catchup"]) == ("0 5 * * *", 1, False)
    assert dag["tasks"] == {"remove_speed_rows": [], "delete_files": []}
    keep = dag["params"]["keep_days"]
    assert (keep["default"], keep["minimum"], dag["params"]["dry_run"]["default"]) == (30, 7, False)


def test_a_loss_is_only_shown_unless_it_is_confirmed(dags: dict[str, Any]) -> None:
    params = dags["accept_loss"]["params"]
    assert params["topic"]["enum"] == sorted(TOPICS)
    assert (params["confirm"]["default"], params["reason"]["default"]) == (False, "")


AZURE = [
    *("declared", "preview", "is_real", "approve", "deploy", "peered", "records", "named", "advertised", "endpoints"),
    *("topics", "reached"),
]


def test_provision_brings_up_the_local_platform_unless_azure_is_asked_for(dags: dict[str, Any]) -> None:
    dag = dags["provision"]
    assert dag["params"]["platform"]["default"] == "local"
    assert dag["tasks"]["platform"] == ["azure.declared", "azurite", "jars", "kafka"]
    assert dag["tasks"]["healthy"] == []
    for before, after in itertools.pairwise(AZURE):
        assert f"azure.{after}" in dag["tasks"][f"azure.{before}"]
    assert dag["tasks"]["azure.peered"] == ["azure.records"], "nothing goes on, or is skipped, before it"
    assert dag["tasks"]["azure.records"] == ["azure.named"], "the zone is there before brokers advertise their names"
    assert dag["params"]["brokers"]["default"] == "addresses"
    assert (dag["params"]["dry_run"]["default"], dag["params"]["approve"]["default"]) == (False, False)


def test_teardown_on_azure_deletes_everything_or_the_clusters_alone(dags: dict[str, Any]) -> None:
    dag = dags["teardown"]
    assert dag["tasks"]["platform"] == ["check", "stop_streams"]
    assert dag["tasks"]["stop_streams"] == ["chosen"], "streams stop before anything is deleted"
    assert dag["tasks"]["chosen"] == ["delete_clusters", "delete_environment"]
    assert (dag["params"]["clusters"]["default"], dag["params"]["stop_streams"]["default"]) == ("none", True)


def test_workers_are_changed_only_after_a_plan_that_somebody_has_approved(dags: dict[str, Any]) -> None:
    dag = dags["scale"]
    assert dag["tasks"] == {"plan": ["is_change"], "is_change": ["approve"], "approve": ["workers"], "workers": []}
    workers = dag["params"]["workers"]
    assert (workers["minimum"], workers["maximum"], dag["max_active_runs"]) == (1, 100, 1)
    assert (dag["params"]["dry_run"]["default"], dag["params"]["approve"]["default"]) == (False, False)


def test_teardown_deletes_nothing_unless_it_is_confirmed(dags: dict[str, Any]) -> None:
    params = dags["teardown"]["params"]
    assert (params["delete_data"]["default"], params["confirmation"]["default"]) == (False, "")
    assert dags["teardown"]["tasks"]["check"] == ["streams"]


@pytest.mark.parametrize(
    "dag_id",
    [
        "produce_stock_ticks",
        "replay_stock_ticks",
        "redecode",
        "accept_loss",
        "maintain",
        "provision",
        "scale",
        "teardown",
        "stock_high_low__upgrade",
    ],
)
def test_every_param_has_a_title_and_a_type(dags: dict[str, Any], dag_id: str) -> None:
    for schema in dags[dag_id]["params"].values():
        assert schema["title"]
        assert schema["type"]

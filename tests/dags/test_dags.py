"""The DAG files, parsed in a process of their own."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from jobs.pipelines import pipeline_names, pipelines_with_alerts
from jobs.topics import TOPICS

ROOT = Path(__file__).resolve().parents[2]
FILES = sorted(path.name for path in (ROOT / "dags").glob("*.py"))


@pytest.fixture(scope="module")
def parsed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    home = tmp_path_factory.mktemp("airflow")
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("AIRFLOW", "MILLRACE"))}
    environment |= {"AIRFLOW_HOME": str(home), "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}
    environment |= {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "plugins")])}
    command = [sys.executable, str(Path(__file__).with_name("parse_dags.py"))]
    done = subprocess.run(command, env=environment, cwd=home, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return found


@pytest.fixture(scope="module")
def dags(parsed: dict[str, Any]) -> dict[str, Any]:
    return {dag_id: dag for file in parsed["files"].values() for dag_id, dag in file["dags"].items()}


@pytest.mark.parametrize("file", FILES)
def test_every_file_imports(parsed: dict[str, Any], file: str) -> None:
    assert parsed["files"][file]["errors"] == {}
    assert parsed["files"][file]["dags"]


@pytest.mark.parametrize("file", FILES)
def test_every_file_is_parsed_in_under_a_second(parsed: dict[str, Any], file: str) -> None:
    assert parsed["files"][file]["seconds"] < 1


def test_parsing_loads_neither_spark_nor_any_client(parsed: dict[str, Any]) -> None:
    assert parsed["heavy"] == []


def test_parsing_writes_nothing_connects_to_nothing_and_starts_nothing(parsed: dict[str, Any]) -> None:
    assert parsed["seen"] == []


def test_every_topic_and_pipeline_has_its_dags(dags: dict[str, Any]) -> None:
    declared = {f"archive__{topic}" for topic in TOPICS}
    declared |= {f"{name}__{part}" for name in pipeline_names() for part in ("speed", "batch", "upgrade")}
    declared |= {f"{pipeline.name}__alerts" for pipeline in pipelines_with_alerts()}
    others = {"provision", "teardown", "produce_stock_ticks", "replay_stock_ticks", "redecode", "accept_loss"}
    assert set(dags) == declared | others


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
        "interval_run.certify": ["interval_run.publish", "interval_run.reprocess"],
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


def test_a_loss_is_only_shown_unless_it_is_confirmed(dags: dict[str, Any]) -> None:
    params = dags["accept_loss"]["params"]
    assert params["topic"]["enum"] == sorted(TOPICS)
    assert (params["confirm"]["default"], params["reason"]["default"]) == (False, "")


AZURE = [
    *("declared", "preview", "is_real", "approve", "deploy", "peered", "advertised", "endpoints", "topics", "reached"),
]


def test_provision_brings_up_the_local_platform_unless_azure_is_asked_for(dags: dict[str, Any]) -> None:
    dag = dags["provision"]
    assert dag["params"]["platform"]["default"] == "local"
    assert dag["tasks"]["platform"] == ["azure.declared", "azurite", "jars", "kafka"]
    assert dag["tasks"]["healthy"] == []
    for before, after in itertools.pairwise(AZURE):
        assert f"azure.{after}" in dag["tasks"][f"azure.{before}"]
    assert (dag["params"]["dry_run"]["default"], dag["params"]["approve"]["default"]) == (False, False)


def test_teardown_on_azure_deletes_everything_or_the_clusters_alone(dags: dict[str, Any]) -> None:
    dag = dags["teardown"]
    assert dag["tasks"]["platform"] == ["check", "stop_streams"]
    assert dag["tasks"]["stop_streams"] == ["chosen"], "streams stop before anything is deleted"
    assert dag["tasks"]["chosen"] == ["delete_clusters", "delete_environment"]
    assert (dag["params"]["clusters"]["default"], dag["params"]["stop_streams"]["default"]) == ("none", True)


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
        "provision",
        "teardown",
        "stock_high_low__upgrade",
    ],
)
def test_every_param_has_a_title_and_a_type(dags: dict[str, Any], dag_id: str) -> None:
    for schema in dags[dag_id]["params"].values():
        assert schema["title"]
        assert schema["type"]

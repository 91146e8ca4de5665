"""Accepting loss from Airflow: what the form says comes to the ledger, with who triggered the run."""

from __future__ import annotations

import uuid
from dataclasses import replace
from datetime import UTC, datetime
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.dag_processing.dagbag import DagBag
from airflow.sdk.api.datamodels._generated import DagRun, DagRunState, DagRunType
from airflow.sdk.definitions.param import process_params
from airflow.sdk.execution_time.context import set_current_context

from jobs.errors import UsageError
from jobs.topic import Topic
from jobs.topics import TOPICS
from millrace.environment import Environment
from millrace.home import PROJECT_ROOT
from millrace.lake.accepted_loss import accepted
from millrace.lake.ledger import update_ledger
from millrace.tasks.accept_loss import accept_topic_loss, who_triggered
from tests.plugins.lake.holed_topic import topic_with_a_hole


@pytest.fixture
def here(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A lake of the test's own, which the task finds."""
    found = replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
    monkeypatch.setattr("millrace.tasks.accept_loss.environment_for_task", lambda name: found)
    return found


@pytest.fixture
def topic(here: Environment, monkeypatch: pytest.MonkeyPatch) -> Topic:
    """Ten records; the archive has 0 to 3 and would go on at 4, and Kafka begins at 6."""
    found = topic_with_a_hole(here)
    monkeypatch.setitem(TOPICS, found.name, found)
    return found


def test_the_task_accepts_only_what_is_confirmed_and_with_a_reason(topic: Topic) -> None:
    looked = accept_topic_loss(topic.name, "", [], False, "ada", None)
    assert (len(looked["lost"]), looked["accepted"]) == (1, None)
    with pytest.raises(UsageError, match="needs a reason"):
        accept_topic_loss(topic.name, " ", [], True, "ada", None)
    who = who_triggered({"dag_run": SimpleNamespace(run_id="manual_1", triggering_user_name="ada")})  # type: ignore[typeddict-item]
    assert accept_topic_loss(topic.name, "INC-1", [], True, who, None)["accepted"]["who"] == "ada"
    assert who_triggered({"dag_run": SimpleNamespace(run_id="manual_1")}) == "run manual_1"  # type: ignore[typeddict-item]


def run_dag(form: dict[str, Any]) -> Any:
    """What the DAG's own task returns in a run that ada has triggered with this form, checked as Airflow does."""
    dag = DagBag(PROJECT_ROOT / "dags" / "accept_loss.py").dags["accept_loss"]
    (task,) = dag.tasks
    nothing = ("logical_date", "data_interval_start", "data_interval_end", "start_date", "end_date", "partition_key")
    run = DagRun(
        dag_id=dag.dag_id,
        run_id="manual_1",
        run_after=datetime.now(UTC),
        run_type=DagRunType.MANUAL,
        state=DagRunState.RUNNING,
        triggering_user_name="ada",
        consumed_asset_events=[],
        **dict.fromkeys(nothing),
    )
    context: Any = {"dag_run": run, "params": process_params(dag, task, form, suppress_exception=False)}
    with set_current_context(context):
        return task.python_callable()


def test_a_run_of_the_dag_shows_and_a_confirmed_one_records_who_when_and_which_offsets(
    here: Environment, topic: Topic
) -> None:
    stream = f"checkpoints/archive__{topic.name}/1"
    shown = run_dag({"topic": topic.name})
    assert (shown["streams"], shown["accepted"]) == ({stream: {0: (4, 6)}}, None)
    assert accepted(here, topic.name) == []
    before = datetime.now(UTC)
    told = run_dag({"topic": topic.name, "reason": "INC-1", "versions": [], "confirm": True})["accepted"]
    (loss,) = accepted(here, topic.name)
    assert loss.to_json() == told
    assert (loss.who, loss.reason, loss.skipped) == ("ada", "INC-1", {stream: {0: (4, 6)}})
    assert before <= loss.when <= datetime.now(UTC)
    (entry,) = update_ledger(here, topic.name).ledger.gaps(0)
    assert (entry.kind, entry.start, entry.end) == ("accepted loss", 4, 6)
    assert (entry.detail["who"], entry.detail["when"]) == ("ada", loss.when.isoformat())

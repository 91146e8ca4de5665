"""The task that publishes a run: its log says what became of it."""

from __future__ import annotations

import logging
import uuid
from dataclasses import replace

import pytest
from airflow.sdk.exceptions import AirflowFailException

from jobs.errors import MillraceError
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.published import publications
from millrace.lake.store import LakeStore
from millrace.tasks import batch
from tests.plugins.lake.lake_rows import certificate, interval

RESULT = {"version": "v1", "rows_read": 3, "dead_letters": 0, "rows_written": 3, "parity": None}


@pytest.fixture
def own_lake(environment: Environment, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """The lake that the task finds, with the results of two runs."""
    own = replace(environment, lake=f"{environment.lake}/{uuid.uuid4().hex}")
    monkeypatch.setattr(batch, "environment_for_task", lambda name: own)
    for run in ("partial", "complete"):
        LakeStore(own).write_json(Lake("").run_result("stock_high_low", run), RESULT)
    return own


def publish(run: str, *partial: str) -> bool:
    proven = replace(certificate(raw_version=1), partial=list(partial))
    return batch.publish_run("stock_high_low", interval(0).id, run, proven.to_json(), None)


def test_a_partial_publication_is_a_warning_with_its_reasons(
    own_lake: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millrace.tasks.batch")
    assert publish("partial", "it has not ended", "the archive is behind Kafka")
    assert publish("complete")
    assert not publish("partial", "the archive is behind Kafka")
    told = [(r.levelname, r.getMessage()) for r in caplog.records if r.name == "millrace.tasks.batch"]
    named = f"interval {interval(0).id}: run"
    assert told == [
        ("WARNING", f"{named} partial: published as partial: it has not ended; the archive is behind Kafka"),
        ("INFO", f"{named} complete: published"),
        ("INFO", f"{named} partial: not published: a run that proves more, or read as much or more of the archive, is"),
    ]
    assert [(p.run, p.partial) for p in publications(own_lake, stock_high_low)] == [("complete", [])]


def test_an_unexplained_difference_fails_the_task_and_what_was_served_stays(own_lake: Environment) -> None:
    """Late data alone never does."""
    counts = {"equal": 2, "different": 1, "only_batch": 0, "only_speed": 0, "differences": []}
    for cause in ("late", "unexplained"):
        found = RESULT | {"parity": {**counts, "causes": {cause: 1}}, "rows_read": 9}
        LakeStore(own_lake).write_json(Lake("").run_result("stock_high_low", cause), found)
    assert publish("complete")
    with pytest.raises(AirflowFailException, match="1 of 1 differences between batch and speed are unexplained"):
        batch.log_parity("stock_high_low", interval(0).id, "unexplained", {"partial": []}, None)
    with pytest.raises(MillraceError, match="what was served is kept"):
        publish("unexplained")
    assert [found.run for found in publications(own_lake, stock_high_low)] == ["complete"]
    assert batch.log_parity("stock_high_low", interval(0).id, "late", {"partial": []}, None)["different"] == 1
    assert publish("late")


def test_the_parity_of_a_partial_run_is_logged_as_partial(
    own_lake: Environment, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "millrace.tasks.batch")
    LakeStore(own_lake).write_json(Lake("").run_result("stock_high_low", "r"), RESULT)
    batch.log_parity("stock_high_low", interval(0).id, "r", {"partial": ["the archive was behind"]}, None)
    assert f"stock_high_low {interval(0).id} is partial: the archive was behind" in caplog.text

"""Maintenance as Airflow and the command line do it: what it says, and what a dry run leaves."""

from __future__ import annotations

import json
import logging
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.errors import UsageError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.builders import maintain as maintain_dag
from millrace.cli import main
from millrace.environment import Environment
from millrace.lake.published import publish
from millrace.lake.speed_log import SpeedLog
from millrace.tasks import maintain
from tests.plugins.lake.lake_rows import certificate, interval, write_speed
from tests.plugins.lake.ledger.raw_rows import archive, open_raw
from tests.plugins.lake.raw_rows import local_environment

NAME, TOPIC = stock_high_low.name, stock_high_low.topic.name
AGE = datetime.now(UTC) - interval(0).end
"""Of the first day: the day after it is younger by a day."""


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Environment:
    """A lake with two published days and a third, all with speed rows."""
    environment = local_environment(tmp_path)
    for day in range(3):
        write_speed(environment, interval(day), batch_id=day, high=1, version="v1")
    for day in range(2):
        told = {"run": f"r{day}", "version": "v1", "certificate": certificate(0), "result": {"rows_read": 3}}
        assert publish(environment, stock_high_low, interval(day), **told)  # type: ignore[arg-type]
    monkeypatch.setattr(maintain, "environment_for_task", lambda name: environment)
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: SimpleNamespace(environment=environment))
    return environment


@pytest.fixture
def printed(here: Environment, capsys: pytest.CaptureFixture[str]) -> Callable[..., str]:
    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as end:
            main(("remove-speed-rows", NAME, *arguments))
        assert not end.value.code
        return capsys.readouterr().out

    return run


def held(environment: Environment) -> set[str]:
    return set(SpeedLog(environment, stock_high_low).intervals()["v1"])


def test_the_task_names_each_interval(here: Environment, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO, "millrace.tasks.maintain")
    keep = AGE - timedelta(hours=1)
    assert maintain.remove_old_speed_rows(NAME, keep, None, dry_run=True) == [interval(0).id]
    assert held(here) == {interval(day).id for day in range(3)}
    assert maintain.remove_old_speed_rows(NAME, keep, None, dry_run=False) == [interval(0).id]
    assert held(here) == {interval(1).id, interval(2).id}
    assert maintain.remove_old_speed_rows(NAME, keep, None, dry_run=False) == []
    told = [record.getMessage() for record in caplog.records]
    assert told[:2] == [
        f"interval {interval(0).id}: its speed rows would be removed",
        f"interval {interval(0).id}: its speed rows were removed",
    ]
    assert told[2] == "0 files that left the table before are deleted"
    assert told[3].startswith("no interval that ended before 20")


def test_the_command_says_what_it_did(here: Environment, printed: Callable[..., str]) -> None:
    assert printed("--older-than", "36500") == (
        f"{NAME}: no interval that ended more than 36500 days ago has speed rows to remove\n"
    )
    lines = [f"interval {interval(day).id}: its speed rows " for day in range(2)]
    older = str((AGE - timedelta(days=2)) / timedelta(days=1))
    assert printed("--older-than", older, "--dry-run").splitlines() == [f"{line}would be removed" for line in lines]
    assert len(held(here)) == 3
    told = json.loads(printed("--older-than", older, "--json"))
    assert told["intervals"] == [interval(day).id for day in range(2)]
    assert held(here) == {interval(2).id}


def test_replaced_files_of_an_archive_are_deleted_once_they_are_old_and_its_rows_stay(here: Environment) -> None:
    for offset in range(3):
        archive(here, TOPIC, [2 * offset])
    raw = open_raw(here, TOPIC)
    assert raw.optimize.compact()["numFilesRemoved"] == 3
    assert maintain.delete_replaced_files(TOPIC, None) == 0
    raw.alter.set_table_properties({"delta.deletedFileRetentionDuration": "interval 0 seconds"})
    assert maintain.delete_replaced_files(TOPIC, None) == 3
    assert sorted(open_raw(here, TOPIC).to_pyarrow_table()["offset"].to_pylist()) == [0, 2, 4]
    assert maintain.delete_replaced_files("never_archived", None) == 0


def test_a_dag_that_would_keep_rows_for_less_than_the_look_back_is_refused() -> None:
    with pytest.raises(UsageError, match=r"keep_speed_rows is 6 days, .* keep these for as long, or longer"):
        maintain_dag(keep_speed_rows=timedelta(days=6))

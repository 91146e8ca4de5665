"""Speed rows leave the lake once nothing needs them, and no answer changes by it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import pytest
from deltalake import DeltaTable

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake import speed_removal
from millrace.lake.gate import ParityError, check_parity
from millrace.lake.published import publish
from millrace.lake.speed_log import SpeedLog
from millrace.lake.speed_removal import as_compared, removable, remove_speed_rows, removed_at
from millrace.lake.tables import delete_old_files
from millrace.lake.view import read_view
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_speed
from tests.plugins.lake.raw_rows import local_environment

NAME = stock_high_low.name
LONG_AFTER = interval(90).end
NOTHING_SEEN = {"equal": 0, "different": 0, "only_batch": 3, "only_speed": 0, "causes": {"unexplained": 3}}


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    """Speed rows of five days in v1, four of them published."""
    environment = local_environment(tmp_path)
    for day in range(5):
        write_speed(environment, interval(day), batch_id=day, high=day, version="v1")
    for day in range(4):
        published(environment, day)
    return environment


def published(environment: Environment, day: int, version: str = "v1", partial: Sequence[str] = ()) -> None:
    run = f"{version}-{day}"
    write_batch(environment, interval(day), run, high=day)
    proof = replace(certificate(0), partial=list(partial))
    told = {"run": run, "version": version, "certificate": proof, "result": {"rows_read": 3}}
    assert publish(environment, stock_high_low, interval(day), **told)  # type: ignore[arg-type]


def days(environment: Environment, before: datetime = LONG_AFTER) -> list[int]:
    """Whose rows may go."""
    numbers = {interval(day).id: day for day in range(5)}
    return [numbers[each.id] for each in removable(environment, stock_high_low, before)]


def view(environment: Environment) -> list[dict[str, Any]]:
    rows = read_view(environment, stock_high_low).to_pylist()
    return sorted(rows, key=lambda row: (row["window_start"], row["symbol"]))


def test_rows_may_go_once_their_interval_is_published_and_long_over(here: Environment) -> None:
    assert days(here) == [0, 1, 2, 3]
    assert days(here, before=interval(2).end) == [0, 1, 2]
    assert days(here, before=interval(2).end - timedelta(microseconds=1)) == [0, 1]
    assert days(here, before=interval(0).start) == []


def test_the_newest_rows_of_a_version_stay_also_when_they_are_published(here: Environment) -> None:
    """By them a checkpoint that is lost is told from that of a new version, whose micro-batches begin with 0."""
    published(here, 4)
    assert days(here) == [0, 1, 2, 3]


def test_rows_of_a_partial_interval_stay_until_it_is_whole(here: Environment) -> None:
    write_speed(here, interval(5), batch_id=5, high=5, version="v1")
    published(here, 4, partial=["the archive lost some"])
    assert days(here) == [0, 1, 2, 3]
    published(here, 4, "v2")
    assert days(here) == [0, 1, 2, 3], "the version whose rows they are has not published it whole"


def test_rows_stay_while_another_version_that_has_some_has_not_published_the_interval(here: Environment) -> None:
    write_speed(here, interval(1), batch_id=0, high=7, version="v2")
    write_speed(here, interval(4), batch_id=1, high=7, version="v2")
    assert days(here) == [0, 2, 3]
    published(here, 1, "v2")
    assert days(here) == [0, 1, 2, 3]


def test_no_answer_changes_and_the_rest_of_the_log_stays(here: Environment) -> None:
    before = view(here)
    assert [each.id for each in remove_speed_rows(here, stock_high_low, interval(1).end)] == [
        interval(0).id,
        interval(1).id,
    ]
    assert view(here) == before
    assert SpeedLog(here, stock_high_low).intervals() == {"v1": {interval(day).id: day for day in (2, 3, 4)}}
    noted = [removed_at(here, NAME, interval(day).id) for day in range(3)]
    assert all(moment and datetime.now(UTC) - moment < timedelta(minutes=1) for moment in noted[:2])
    assert noted[2] is None
    assert remove_speed_rows(here, stock_high_low, interval(1).end) == []


def test_the_log_of_the_table_gets_no_checkpoint_by_it(here: Environment) -> None:
    """Which micro-batches are written is in Spark's checkpoints; another writer's might not carry it on."""
    log = Path(urlparse(Lake(here.lake).speed(NAME)).path) / "_delta_log"
    for number in range(3):
        write_speed(here, interval(9 + number), batch_id=9 + number, high=1, version="v1")
    DeltaTable(Lake(here.lake).speed(NAME)).alter.set_table_properties({"delta.checkpointInterval": "1"})
    before = set(log.glob("*checkpoint*"))
    remove_speed_rows(here, stock_high_low, LONG_AFTER)
    assert set(log.glob("*checkpoint*")) == before


def test_who_is_killed_after_the_note_leaves_rows_that_the_next_call_removes(
    here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = view(here)

    class Killed(BaseException):
        pass

    class Table:
        def delete(self, *_: object, **__: object) -> None:
            raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(speed_removal, "open_table", lambda *_: Table())
        with pytest.raises(Killed):
            remove_speed_rows(here, stock_high_low, interval(0).end)
    assert removed_at(here, NAME, interval(0).id)
    compared = {"parity": {"equal": 2, "different": 1, "only_batch": 0, "only_speed": 0, "causes": {"unexplained": 1}}}
    assert as_compared(here, NAME, interval(0).id, compared) == compared, (
        "the gate has its say as long as rows are there"
    )
    assert days(here, before=interval(0).end) == [0]
    remove_speed_rows(here, stock_high_low, interval(0).end)
    assert (days(here), view(here)) == ([1, 2, 3], before)


def test_of_two_calls_at_once_one_removes_and_none_fails(here: Environment, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = speed_removal.open_table

    def open_and_let_another_go_first(environment: Environment, uri: str) -> DeltaTable | None:
        monkeypatch.setattr(speed_removal, "open_table", opened)
        table = opened(environment, uri)
        chosen = removable(here, stock_high_low, interval(0).end)
        assert remove_speed_rows(here, stock_high_low, interval(0).end) == chosen
        monkeypatch.setattr(speed_removal, "removable", once(chosen))
        return table

    def once(stale: list[Interval]) -> Callable[..., list[Interval]]:
        def found(*asked: Any) -> list[Interval]:
            monkeypatch.setattr(speed_removal, "removable", removable)
            return stale

        return found

    monkeypatch.setattr(speed_removal, "open_table", open_and_let_another_go_first)
    assert remove_speed_rows(here, stock_high_low, interval(0).end) == []
    assert days(here) == [1, 2, 3]


def test_a_run_that_found_no_speed_rows_because_they_were_removed_compared_nothing(here: Environment) -> None:
    result = {"version": "v1", "rows_read": 3, "parity": NOTHING_SEEN}
    with pytest.raises(ParityError):
        check_parity(stock_high_low, interval(0), "r", as_compared(here, NAME, interval(0).id, result))
    remove_speed_rows(here, stock_high_low, interval(0).end)
    judged = as_compared(here, NAME, interval(0).id, result)
    assert (judged["parity"], judged["rows_read"]) == (None, 3)
    assert datetime.fromisoformat(judged["speed_removed"]) == removed_at(here, NAME, interval(0).id)
    check_parity(stock_high_low, interval(0), "r", judged)
    assert as_compared(here, NAME, interval(1).id, result) == result, "nothing of the next day was removed"


@pytest.mark.parametrize("parity", [None, {**NOTHING_SEEN, "only_speed": 1}, {**NOTHING_SEEN, "equal": 1}])
def test_what_was_compared_before_stays_compared(here: Environment, parity: dict[str, Any] | None) -> None:
    remove_speed_rows(here, stock_high_low, interval(0).end)
    assert as_compared(here, NAME, interval(0).id, {"parity": parity}) == {"parity": parity}


def test_files_are_deleted_a_week_after_they_left_the_table(here: Environment) -> None:
    folder = Path(urlparse(Lake(here.lake).speed(NAME)).path) / f"_interval={interval(0).id}"
    (file,) = folder.glob("*.parquet")
    remove_speed_rows(here, stock_high_low, interval(0).end)
    assert delete_old_files(here, Lake(here.lake).speed(NAME)) == 0
    assert file.exists()
    DeltaTable(Lake(here.lake).speed(NAME)).alter.set_table_properties(
        {"delta.deletedFileRetentionDuration": "interval 0 seconds"}
    )
    assert delete_old_files(here, Lake(here.lake).speed(NAME)) == 1
    assert not file.exists()
    assert view(here)


def test_a_pipeline_without_speed_rows_has_nothing_to_remove(tmp_path: Path) -> None:
    environment = local_environment(tmp_path)
    assert removable(environment, stock_high_low, LONG_AFTER) == []
    assert remove_speed_rows(environment, stock_high_low, LONG_AFTER) == []
    assert delete_old_files(environment, Lake(environment.lake).speed(NAME)) == 0

"""`millrace repair`: what it lists, what it runs again, and what it leaves."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.cli import batch, main, shared
from millrace.environment import Environment
from millrace.lake.late_records import record_look_back
from millrace.lake.pending_late import look_back, pending_late
from millrace.lake.published import publications
from millrace.supervision.connection import Connection
from tests.plugins.lake.lake_rows import write_batch
from tests.plugins.lake.raw_rows import archive, local_environment, publish_read
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

DAY = timedelta(days=1)
TODAY = Interval.of(datetime.now(UTC), DAY)
Millrace = Callable[..., tuple[int, str]]


def days_ago(number: int) -> Interval:
    return Interval.of(TODAY.start - number * DAY, DAY)


@pytest.fixture
def lake_here(tmp_path: Path) -> Environment:
    """Ten, three and two days ago are published; ten and three days ago have late events."""
    environment = local_environment(tmp_path)
    archive(environment, *[days_ago(10).start] * 2, *[days_ago(3).start] * 3, days_ago(2).start)
    for number, rows_read in ((10, 1), (3, 1), (2, 1)):
        publish_read(environment, stock_high_low, days_ago(number), rows_read)
    return environment


@pytest.fixture
def millrace(
    lake_here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Millrace:
    """Runs a command on the lake; its exit code and what it printed."""
    connection = Connection(lake_here, FakePlatform(), FolderNotes(tmp_path))
    monkeypatch.setattr(shared, "connected", lambda: connection)

    def run(*arguments: str) -> tuple[int, str]:
        with pytest.raises(SystemExit) as ended:
            main(arguments)
        return int(ended.value.code or 0), capsys.readouterr().out

    return run


@pytest.fixture
def repair(millrace: Millrace, lake_here: Environment, monkeypatch: pytest.MonkeyPatch) -> Millrace:
    """Runs the command with a reprocess that publishes a run of all that is in the archive, without Spark."""

    def reprocess(_: Connection, pipeline: Any, interval: Interval, *__: object) -> dict[str, Any]:
        late = pending(lake_here)[interval.id]
        served = {found.interval: found.result["rows_read"] for found in publications(lake_here, pipeline)}
        is_new = publish_read(lake_here, pipeline, interval, served[interval] + late)
        counts = {"rows_read": served[interval] + late, "dead_letters": 0, "rows_written": 1}
        return {"interval": interval.id, **counts, "published": is_new, "partial": []}

    monkeypatch.setattr(batch, "reprocess_interval", reprocess)
    return lambda *arguments: millrace("repair", "stock_high_low", *arguments)


def pending(environment: Environment) -> dict[str, int]:
    return pending_late(environment, stock_high_low, publications(environment, stock_high_low))


def test_a_dry_run_says_what_would_be_repaired_and_repairs_nothing(repair: Millrace, lake_here: Environment) -> None:
    before = publications(lake_here, stock_high_low)
    code, printed = repair("--dry-run")
    assert code == 0
    assert f"interval {days_ago(3).id}: 2 pending late events\n" in printed
    assert f"interval {days_ago(10).id}: 1 pending late events, ended more than 7 days ago: not repaired" in printed
    assert publications(lake_here, stock_high_low) == before


def test_a_repair_leaves_nothing_pending_within_the_look_back(repair: Millrace, lake_here: Environment) -> None:
    code, printed = repair()
    assert code == 0
    assert f"interval {days_ago(3).id}: 3 events" in printed
    assert pending(lake_here) == {days_ago(10).id: 1, days_ago(3).id: 0, days_ago(2).id: 0}
    assert "no published interval of the last 7 days is to be repaired" in repair()[1]


def test_a_wider_look_back_repairs_the_older_ones_too_and_json_tells_all(
    repair: Millrace, lake_here: Environment
) -> None:
    code, printed = repair("--within", "30", "--json")
    told = json.loads(printed)
    assert code == 0
    assert told["pending_late"] == {days_ago(10).id: 1, days_ago(3).id: 2}
    assert told["older"] == {}
    assert [(run["interval"], run["rows_read"], run["published"]) for run in told["repaired"]] == [
        (days_ago(10).id, 2, True),
        (days_ago(3).id, 3, True),
    ]
    assert set(pending(lake_here).values()) == {0}


def test_a_repair_that_cannot_be_done_ends_with_1_and_keeps_none_of_the_others_waiting(
    repair: Millrace, lake_here: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    do = batch.reprocess_interval

    def refuse_the_oldest(connection: Connection, pipeline: Any, interval: Interval, *more: Any) -> dict[str, Any]:
        if interval == days_ago(10):
            raise MillraceError("the archive is behind")
        return do(connection, pipeline, interval, *more)

    monkeypatch.setattr(batch, "reprocess_interval", refuse_the_oldest)
    code, printed = repair("--within", "30", "--json")
    assert code == 1
    assert json.loads(printed)["repaired"][0] == {"interval": days_ago(10).id, "error": "the archive is behind"}
    assert pending(lake_here) == {days_ago(10).id: 1, days_ago(3).id: 0, days_ago(2).id: 0}


def test_the_view_tells_what_is_pending_late(millrace: Millrace, lake_here: Environment) -> None:
    for found in publications(lake_here, stock_high_low):
        write_batch(lake_here, found.interval, found.run, high=1)
    told = f"3 pending late events in 2 published intervals ({days_ago(10).id} to {days_ago(3).id})"
    assert f"{told}; `millrace repair stock_high_low` reprocesses them" in millrace("view", "stock_high_low")[1]
    intervals = json.loads(millrace("view", "stock_high_low", "--intervals", "--json")[1])
    assert [(entry["interval"], entry["pending_late"]) for entry in intervals] == [
        (days_ago(10).id, 1),
        (days_ago(3).id, 2),
        (days_ago(2).id, 0),
    ]


def test_the_records_of_a_night_are_shown_the_newest_of_each_interval_or_all_as_json(
    millrace: Millrace, lake_here: Environment
) -> None:
    assert "no record yet" in millrace("late", "stock_high_low")[1]
    for _ in range(2):
        look = look_back(lake_here, stock_high_low)
        record_look_back(lake_here, look, TODAY.start, timedelta(days=7))
        archive(lake_here, days_ago(2).start)
    (_, shown), (_, told) = millrace("late", "stock_high_low"), millrace("late", "stock_high_low", "--json")
    rows = [line.split()[:2] for line in shown.splitlines() if "T000000Z" in line]
    assert rows == [[days_ago(10).id, "1"], [days_ago(3).id, "2"], [days_ago(2).id, "1"]]
    records = [(each["interval"], each["pending_late"]) for each in json.loads(told)["records"]]
    assert records == [
        (days_ago(10).id, 1),
        (days_ago(3).id, 2),
        (days_ago(2).id, 0),
        (days_ago(10).id, 1),
        (days_ago(3).id, 2),
        (days_ago(2).id, 1),
    ]

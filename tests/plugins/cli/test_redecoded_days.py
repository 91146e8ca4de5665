"""`millrace redecode` names the days that got events and that no nightly run repairs, and the repair that does."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.cli import dead_letters, main, shared
from millrace.environment import Environment
from millrace.lake.pending_late import look_back, overdue
from millrace.supervision.connection import Connection
from tests.plugins.lake.raw_rows import archive, local_environment, publish_read
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

DAY = timedelta(days=1)
NOW = datetime.now(UTC)


def days_ago(number: int) -> Interval:
    return Interval.of(NOW - number * DAY, DAY)


@pytest.fixture
def lake_here(tmp_path: Path) -> Environment:
    """Published are 60, 50, 40, 30 and 3 days ago; all but that of 40 days ago have got an event since. That of 20 days
    ago is archived alone."""
    environment = local_environment(tmp_path)
    archive(environment, *(days_ago(number).start for number in (60, 50, 40, 30, 20, 3)))
    for number in (60, 50, 40, 30, 3):
        publish_read(environment, stock_high_low, days_ago(number), int(number == 40))
    return environment


@pytest.fixture
def redecode(
    lake_here: Environment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What the command prints, of a job that moved an event into each of these days but that of 60 days ago."""
    days = {days_ago(number).start.date().isoformat(): 1 for number in (50, 40, 30, 20, 3)}
    result: dict[str, Any] = {"examined": 5, "moved": 5, "still_dead": 0, "changed_reason": 0, "days": days}
    connection = Connection(lake_here, FakePlatform(), FolderNotes(tmp_path))
    monkeypatch.setattr(shared, "connected", lambda: connection)
    monkeypatch.setattr(dead_letters, "_redecode", lambda *_: result)

    def run(*arguments: str) -> str:
        with pytest.raises(SystemExit) as ended:
            main(("redecode", "stock_ticks", *arguments))
        assert not ended.value.code
        return capsys.readouterr().out

    return run


def test_the_days_that_the_nightly_run_will_not_reach_are_named_with_the_repair_that_does(
    redecode: Callable[..., str], lake_here: Environment
) -> None:
    line = redecode().splitlines()[-1]
    assert line == (
        "stock_high_low: 2 published intervals that got events ended more than 7 days ago, where the nightly run does"
        f" not look by default: {days_ago(50).id}, {days_ago(30).id}; repair them with"
        " `millrace repair stock_high_low --within 51`"
    )
    within = timedelta(days=int(line.rpartition("--within ")[2].rstrip("`")))
    for later in (timedelta(0), timedelta(hours=23)):
        repaired, _ = overdue(lake_here, look_back(lake_here, stock_high_low), NOW + later, within)
        assert {days_ago(50), days_ago(30)} <= repaired.keys()


def test_json_has_them_too(redecode: Callable[..., str]) -> None:
    told = json.loads(redecode("--json"))
    assert told["moved"] == 5
    assert told["beyond_look_back"] == {
        "stock_high_low": {"intervals": [days_ago(50).id, days_ago(30).id], "within": 51}
    }

"""Late events are told per window where the view's intervals are listed, and in the records; what is cut is counted."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.cli import main
from millrace.environment import Environment
from millrace.lake.late_records import publish_and_record, record_look_back
from millrace.lake.late_windows import late_by_window
from millrace.lake.pending_late import look_back
from tests.plugins.lake.lake_rows import certificate, interval, write_batch
from tests.plugins.lake.raw_rows import archive, local_environment

MINUTE = timedelta(minutes=1)
WINDOWS = [[(interval(0).start + 7 * MINUTE).isoformat(), 2], [(interval(0).start + 9 * MINUTE).isoformat(), 40]]


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    """The first day is published by a run that found 42 late events in two windows, the second by one that compared
    with no speed layer."""
    environment = local_environment(tmp_path)
    archive(environment, interval(0).start, interval(1).start)
    for number, late in ((0, {"events": 42, "windows": WINDOWS}), (1, None)):
        write_batch(environment, interval(number), f"run-{number}", high=1)
        result = {"version": "v1", "rows_read": 1, "late": late}
        proof = certificate(0)
        publish_and_record(
            environment, stock_high_low, interval(number), run=f"run-{number}", certificate=proof, result=result
        )
    return environment


@pytest.fixture
def printed(
    here: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: SimpleNamespace(environment=here))

    def run(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code
        return capsys.readouterr().out

    return run


def test_the_intervals_of_the_view_say_how_many_events_each_window_lacked(printed: Callable[..., str]) -> None:
    first, second = json.loads(printed("view", "stock_high_low", "--intervals", "--json"))
    assert (first["late"], first["late_windows"], first["late_windows_cut"]) == (42, 2, 0)
    assert first["late_by_window"] == WINDOWS
    assert {second[name] for name in ("late", "late_windows", "late_by_window", "late_windows_cut")} == {None}


def test_a_table_and_csv_have_the_numbers_of_the_interval_alone(printed: Callable[..., str]) -> None:
    header, first, _ = printed("view", "stock_high_low", "--intervals", "--csv").splitlines()
    row = dict(zip(header.split(","), first.split(","), strict=True))
    assert (row["late"], row["late_windows"]) == ("42", "2")
    assert "by_window" not in header + printed("view", "stock_high_low", "--intervals")


def test_the_records_of_publications_and_of_nights_have_them_too(
    printed: Callable[..., str], here: Environment
) -> None:
    until = interval(2).start
    record_look_back(here, look_back(here, stock_high_low), until, timedelta(days=7))
    records = json.loads(printed("late", "stock_high_low", "--json"))["records"]
    assert [(each["interval"], each["late_by_window"]) for each in records] == 2 * [
        (interval(0).id, WINDOWS),
        (interval(1).id, None),
    ]
    table = printed("late", "stock_high_low")
    assert ["42", "2", "0"] in [line.split()[1:4] for line in table.splitlines()]


def test_of_more_windows_than_are_listed_those_that_lack_most_are_kept_and_the_others_counted() -> None:
    lacks = {(interval(0).start + number * MINUTE).isoformat(): 1 + number % 3 for number in range(900)}
    told = late_by_window({"events": sum(lacks.values()), "windows": [list(each) for each in lacks.items()]})
    assert (told["late_windows"], told["late_windows_cut"]) == (900, 400)
    listed = dict(told["late_by_window"])
    assert list(listed) == sorted(listed)
    assert sorted(listed.values()) == [2] * 200 + [3] * 300
    assert listed.items() <= lacks.items()

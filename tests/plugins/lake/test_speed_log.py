"""What the speed log has of each version, told without reading it again: against the rows themselves."""

from __future__ import annotations

import json
import random
from pathlib import Path
from urllib.parse import urlparse

import pytest
from deltalake import DeltaTable

from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.speed_log import SpeedLog
from tests.plugins.lake.lake_rows import interval, write_speed
from tests.plugins.lake.raw_rows import local_environment

Found = dict[str, dict[str, int]]


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


def table(environment: Environment) -> DeltaTable:
    return DeltaTable(Lake(environment.lake).speed("stock_high_low"))


def folder(environment: Environment) -> Path:
    return Path(urlparse(Lake(environment.lake).speed("stock_high_low")).path)


def delete_data(environment: Environment) -> None:
    """So that who reads a file of before fails."""
    files = list(folder(environment).rglob("*.parquet"))
    assert files
    for file in files:
        file.unlink()


def forget_statistics(environment: Environment) -> None:
    """As of a pipeline with more columns than have statistics."""
    for log in (folder(environment) / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for action in actions:
            if "add" in action:
                action["add"]["stats"] = None
        log.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")


def by_rows(environment: Environment) -> Found:
    found: Found = {}
    for row in table(environment).to_pyarrow_table().to_pylist():
        mine = found.setdefault(row["_version"], {})
        mine[row["_interval"]] = max(row["_batch_id"], mine.get(row["_interval"], -1))
    return found


def test_a_log_that_is_not_there_has_nothing_and_is_seen_once_it_is(here: Environment) -> None:
    log = SpeedLog(here, stock_high_low)
    assert log.intervals() == {}
    write_speed(here, interval(0), batch_id=7, high=1, version="v1")
    assert log.intervals() == {"v1": {interval(0).id: 7}}


@pytest.mark.parametrize("has_statistics", [True, False])
def test_each_look_says_what_the_rows_say(here: Environment, has_statistics: bool) -> None:
    dice, log = random.Random(3), SpeedLog(here, stock_high_low)
    for batch in range(8):
        version, day = dice.choice(["v1", "v2"]), interval(dice.randrange(3))
        write_speed(here, day, batch_id=dice.randrange(100), high=batch, version=version)
        if not has_statistics:
            forget_statistics(here)
        assert log.intervals() == SpeedLog(here, stock_high_low).intervals() == by_rows(here)


def test_a_later_look_opens_no_file_of_before(here: Environment) -> None:
    write_speed(here, interval(0), batch_id=1, high=1, version="v1")
    forget_statistics(here)
    log = SpeedLog(here, stock_high_low)
    assert log.intervals() == {"v1": {interval(0).id: 1}}
    delete_data(here)
    write_speed(here, interval(1), batch_id=2, high=1, version="v2")
    assert log.intervals() == {"v1": {interval(0).id: 1}, "v2": {interval(1).id: 2}}
    with pytest.raises(FileNotFoundError):
        SpeedLog(here, stock_high_low).intervals()


def test_a_first_look_opens_no_file_that_the_log_tells_enough_of(here: Environment) -> None:
    write_speed(here, interval(0), batch_id=1, high=1, version="v1")
    write_speed(here, interval(0), batch_id=9, high=1, version="v1")
    delete_data(here)
    assert SpeedLog(here, stock_high_low).intervals() == {"v1": {interval(0).id: 9}}


def test_files_that_were_compacted_or_removed_are_looked_at_as_they_are_now(here: Environment) -> None:
    for version, batch in (("v1", 4), ("v2", 6), ("v1", 5)):
        write_speed(here, interval(0), batch_id=batch, high=1, version=version)
    write_speed(here, interval(1), batch_id=7, high=1, version="v1")
    log = SpeedLog(here, stock_high_low)
    before = log.intervals()
    assert table(here).optimize.compact()["numFilesRemoved"] == 3
    assert log.intervals() == before == {"v1": {interval(0).id: 5, interval(1).id: 7}, "v2": {interval(0).id: 6}}
    table(here).delete(f"_interval = '{interval(0).id}'")
    assert log.intervals() == {"v1": {interval(1).id: 7}}

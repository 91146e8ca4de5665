"""What a run read of the archive is told as of its version: as long as that is kept, and never wrongly after."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import urlparse

import pytest
from deltalake import DeltaTable

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.key_events import key_events, key_events_as_of
from tests.plugins.lake.raw_rows import archive, at, local_environment, raw_uri

NOON = Interval(at("2026-11-20T12:00"), at("2026-11-20T12:01"))
KEY = {"symbol": "A"}


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    """Whose archive has three versions, of an event each."""
    environment = local_environment(tmp_path)
    for second in (10, 20, 30):
        archive(environment, f"2026-11-20T12:00:{second}")
    return environment


def table(environment: Environment) -> DeltaTable:
    return DeltaTable(raw_uri(environment, stock_high_low.topic.name))


def seconds_as_of(environment: Environment, version: int) -> list[int]:
    found = key_events_as_of(environment, stock_high_low, NOON, KEY, version)
    return sorted(row["event"]["event_time"].second for row in found)


def test_events_are_those_that_the_version_had(here: Environment) -> None:
    assert [seconds_as_of(here, version) for version in range(3)] == [[10], [10, 20], [10, 20, 30]]
    assert len(key_events(here, stock_high_low, NOON, KEY)) == 3
    assert key_events(here, stock_high_low, NOON, {"symbol": "B"}) == []


@pytest.mark.parametrize("forgotten", ["log", "files"])
def test_a_version_that_is_not_kept_is_an_error_and_not_an_archive_without_events(
    here: Environment, forgotten: str
) -> None:
    if forgotten == "log":
        table(here).create_checkpoint()
        log = Path(urlparse(raw_uri(here, stock_high_low.topic.name)).path) / "_delta_log"
        for version in (0, 1):
            (log / f"{version:020d}.json").unlink()
    else:
        table(here).optimize.compact()
        table(here).vacuum(retention_hours=0, enforce_retention_duration=False, dry_run=False)
    with pytest.raises(MillraceError, match=r"read version 1 of raw/stock_ticks, which is not kept any more"):
        seconds_as_of(here, 1)
    assert len(key_events(here, stock_high_low, NOON, KEY)) == 3, "what there is now is told as before"

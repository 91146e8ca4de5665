"""The demonstration as a newcomer runs it: once to the end, a second time with what is there, and after a crash."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.demo.sample import sample_intervals
from millrace.environment import load_environment
from millrace.home import Home
from millrace.lake.published import publications
from millrace.stack.lifecycle import up
from millrace.stack.process_record import load_records
from millrace.waiting import until
from tests.end_to_end.newcomer import Newcomer

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(1800)]

PATIENCE = timedelta(minutes=12)
STAYS = "Everything goes on until you press Ctrl-C."


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    newcomer = Newcomer(Home(tmp_path / "home"))
    yield newcomer
    newcomer.run("down")


def test_the_demonstration_holds_resumes_with_its_data_and_leaves_nothing_behind_also_after_a_crash(
    newcomer: Newcomer, tmp_path: Path
) -> None:
    told = newcomer.run("demo", "--exit-when-done")
    agreed = re.search(r"batch and speed agree: ([\d,]+) of ([\d,]+) rows of 3 backfilled days are equal", told)
    assert agreed, told
    assert agreed[1] == agreed[2] != "0"
    assert newcomer.left() == []

    up(newcomer.home, airflow=False)
    published = runs(newcomer.home)
    assert len(published) == 3
    out = tmp_path / "second.log"
    with newcomer.start(out, "demo") as second:
        try:
            assert until(lambda: STAYS in out.read_text() or second.poll() is not None, PATIENCE), out.read_text()
            assert STAYS in out.read_text(), out.read_text()
            assert runs(newcomer.home) == published, "what was published is not reprocessed"
        finally:
            second.kill()
    assert len([record for record in load_records(newcomer.home) if record.is_running]) > 5, "a crash ends nobody else"
    assert newcomer.left()
    newcomer.run("down")
    assert newcomer.left() == []


def runs(home: Home) -> list[str]:
    """Those that answer the days of the backfill: a night that comes meanwhile publishes its own."""
    found = publications(load_environment("local", home=home), stock_high_low)
    days = {interval.id for interval in sample_intervals(stock_high_low.interval)}
    return [one.run for one in found if one.interval.id in days]

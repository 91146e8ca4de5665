"""A loss that is accepted after an interval was published makes it partial at once, wherever it is shown."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.accepted_losses import AcceptedLoss, LostRange
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.cli import main
from millrace.environment import Environment
from millrace.lake.published import Publication, publications, publish
from millrace.lake.served import served_intervals
from millrace.lake.store import LakeStore
from millrace.lake.versions import version_states
from millrace.lake.view import read_view
from tests.plugins.lake.lake_rows import certificate, interval, write_batch
from tests.plugins.lake.raw_rows import local_environment

DAY = timedelta(days=1)
BELOW = "accepted loss of 2 offsets of partition 0 (7 to 8) by ada on 2026-11-20: why"
ACROSS = "accepted loss of 4 offsets of partition 0 (8 to 11) by ada on 2026-11-20: why"
ABOVE = "accepted loss of 2 offsets of partition 0 (10 to 11) by ada on 2026-11-20: why"
RANGES = {BELOW: (7, 9), ACROSS: (8, 12), ABOVE: (10, 12)}


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


def publish_day(
    environment: Environment, run: str, number: int = 0, partial: tuple[str, ...] = (), rows_read: int = 3
) -> bool:
    """With a coverage of 10."""
    proof, result = replace(certificate(1), partial=list(partial)), {"rows_read": rows_read, "rows_written": 3}
    day = interval(number)
    return publish(environment, stock_high_low, day, run=run, version="v1", certificate=proof, result=result)


def accept(environment: Environment, told: str) -> None:
    """Of records that may be of the first day, or of one before."""
    lost = LostRange(0, *RANGES[told], "retention loss", None, interval(0).start + DAY / 2)
    when = datetime(2026, 11, 20, tzinfo=UTC)
    loss = AcceptedLoss(str(lost.start), "stock_ticks", None, "ada", when, "why", {}, {}, [lost])
    path = f"{Lake('').accepted_losses('stock_ticks')}/{loss.id}.json"
    LakeStore(environment).write_json(path, loss.to_json())


def served(environment: Environment) -> list[Publication]:
    return publications(environment, stock_high_low)


def partial(environment: Environment) -> list[list[str]]:
    return [each.partial for each in served(environment)]


@pytest.mark.parametrize("told", [ABOVE, ACROSS], ids=["above-its-coverage", "across-it"])
def test_what_was_published_before_the_acceptance_is_partial_from_then_on(here: Environment, told: str) -> None:
    for number in (0, 1):
        publish_day(here, f"r{number}", number)
        write_batch(here, interval(number), f"r{number}", high=1)
    assert partial(here) == [[], []]
    accept(here, told)
    assert partial(here) == [[told], []], "the second day begins after the lost records"
    rows = read_view(here, stock_high_low)
    assert {(row["_interval"], row["_partial"]) for row in rows.to_pylist()} == {
        (interval(0).id, True),
        (interval(1).id, False),
    }
    shown = served_intervals(here, stock_high_low, rows)
    assert [(entry["partial"], entry["why_partial"]) for entry in shown] == [(True, told), (False, None)]
    (state,) = [state for state in version_states(here, stock_high_low) if state.version == "v1"]
    assert state.partial == (interval(0).id,)


def test_what_a_complete_run_had_read_before_it_was_lost_leaves_it_complete(here: Environment) -> None:
    publish_day(here, "r0")
    accept(here, BELOW)
    assert partial(here) == [[]]


def test_a_run_that_was_partial_proves_nothing_of_what_was_lost_below_its_coverage(here: Environment) -> None:
    publish_day(here, "r0", partial=("missing",))
    accept(here, BELOW)
    assert partial(here) == [["missing", BELOW]]


def test_a_certificate_that_does_not_say_whether_it_is_partial_proves_nothing(here: Environment) -> None:
    from jobs.accepted_losses import accepted_losses, lost_from
    from millrace.lake.text_files import TextFiles

    accept(here, BELOW)
    losses = accepted_losses(TextFiles(LakeStore(here)), Lake(""), "stock_ticks")
    day = interval(0)
    assert lost_from(losses, {"coverage": {"0": 10}}, day.start, day.end) == [BELOW]
    assert lost_from(losses, {"coverage": {"0": 10}, "partial": []}, day.start, day.end) == []


def test_a_repair_that_read_late_events_takes_its_place_though_it_says_that_it_is_partial(here: Environment) -> None:
    """A complete run is never replaced by a partial one; this one is no longer complete."""
    publish_day(here, "before the loss")
    assert not publish_day(here, "by permission", partial=("missing",), rows_read=9)
    accept(here, ABOVE)
    assert not publish_day(here, "by permission", partial=("missing", ABOVE), rows_read=9)
    assert publish_day(here, "repaired", partial=(ABOVE,), rows_read=4)
    (only,) = served(here)
    assert (only.run, only.partial) == ("repaired", [ABOVE])


def test_a_run_with_all_that_is_left_replaces_one_by_permission_that_read_rows_twice(here: Environment) -> None:
    accept(here, ABOVE)
    publish_day(here, "doubled", partial=("the archive has records twice", ABOVE), rows_read=6)
    assert publish_day(here, "mended", partial=(ABOVE,), rows_read=3)
    assert [each.run for each in served(here)] == ["mended"]


def test_the_command_and_the_status_say_it_too(
    here: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from millrace.cli.status import partial_intervals

    publish_day(here, "r0")
    write_batch(here, interval(0), "r0", high=1)
    accept(here, ABOVE)
    line = f"stock_high_low {interval(0).id} is partial: {ABOVE}"
    assert partial_intervals(here) == [line]
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: SimpleNamespace(environment=here))
    with pytest.raises(SystemExit):
        main(["view", "stock_high_low", "--intervals"])
    assert line in capsys.readouterr().out.splitlines()

"""`millrace view`, `millrace late`, `millrace reprocess` and others say what is partial."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from types import SimpleNamespace

import pyarrow as pa
import pytest

from jobs.errors import MillraceError
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.cli import batch, main
from millrace.cli.status import partial_intervals
from millrace.cli.view import served_line
from millrace.environment import Environment
from millrace.lake.late_records import record_publication
from millrace.lake.partial import partial_lines
from millrace.lake.published import publications, publish
from millrace.supervision.connection import Connection
from tests.plugins.lake.archived_topic import ArchivedTopic, ended, ending
from tests.plugins.lake.lake_rows import certificate, interval, write_batch
from tests.plugins.lake.raw_rows import publication
from tests.plugins.supervision.fake_platform import FakePlatform, FolderNotes

HOUR, MINUTE = timedelta(hours=1), timedelta(minutes=1)
RESULT = {"version": "v1", "rows_read": 3, "dead_letters": 1, "rows_written": 2, "parity": None}


def view_of(*intervals: tuple[str, str, bool]) -> pa.Table:
    return pa.Table.from_pylist([{"_interval": i, "_layer": layer, "_partial": p} for i, layer, p in intervals])


def test_the_line_of_intervals_names_those_that_are_partial() -> None:
    batch_rows = [("20261118T000000Z", "batch", False), ("20261119T000000Z", "batch", True)]
    rows = view_of(*batch_rows, *batch_rows, ("20261120T000000Z", "batch", False), ("20261121T000000Z", "speed", False))
    assert served_line(rows) == (
        "3 served by batch (20261118T000000Z to 20261120T000000Z; 1 partial: 20261119T000000Z);"
        " 1 served by speed (20261121T000000Z)"
    )
    assert served_line(view_of(("20261119T000000Z", "batch", True))) == (
        "1 served by batch (20261119T000000Z; 1 partial: 20261119T000000Z); 0 served by speed"
    )


@pytest.fixture
def ticks(environment: Environment, tmp_path: Path) -> ArchivedTopic:
    """Three records, of which two are archived."""
    ticks = ArchivedTopic(replace(environment, lake=f"{environment.lake}/{tmp_path.name}"))
    ticks.produce(3)
    ticks.archive(2, 0)
    return ticks


class Notes(FolderNotes):
    """Every run has left its result."""

    def read_json(self, path: str) -> dict[str, object] | None:
        return dict(RESULT)


@pytest.fixture
def reprocess(ticks: ArchivedTopic, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict]:
    """`millrace reprocess` of an interval, with a driver that succeeds at once."""
    connection = Connection(ticks.environment, FakePlatform(), Notes(tmp_path))
    monkeypatch.setattr("millrace.cli.follow.run_to_end", lambda *arguments: None)

    def reprocess(interval, wait=timedelta(0), allow_partial=False):
        pipeline = replace(stock_high_low, topic=ticks.topic)
        return batch.reprocess_interval(connection, pipeline, interval, wait, False, allow_partial)

    return reprocess


def test_a_reprocess_waits_for_the_archive_with_the_reason_on_stderr_and_then_fails_with_it(
    reprocess: Callable[..., dict], ticks: ArchivedTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    interval = ended(MINUTE)
    with pytest.raises(MillraceError, match=r"not proven complete after 0:00:01: .*partition 0 has 2 of 3"):
        reprocess(interval, wait=timedelta(seconds=1))
    printed = capsys.readouterr()
    (waiting,) = [line for line in printed.err.splitlines() if ": waiting: " in line]
    assert waiting.startswith(f"stock_high_low {interval.id}: waiting: the archive is behind Kafka: partition 0 has 2 ")
    assert printed.out == ""
    assert publications(ticks.environment, stock_high_low) == []


def test_a_reprocess_of_what_has_not_ended_is_published_only_as_partial_and_says_so(
    reprocess: Callable[..., dict], ticks: ArchivedTopic, capsys: pytest.CaptureFixture[str]
) -> None:
    interval = ending(HOUR)
    with pytest.raises(MillraceError, match="it is complete from"):
        reprocess(interval)
    result = reprocess(interval, allow_partial=True)
    early, behind = result["partial"]
    assert batch.told(interval, result) == (
        f"interval {interval.id}: 3 events, 1 dead letters, 2 rows; published as partial: {early}; {behind}"
    )
    assert f"stock_high_low {interval.id}: partial: {behind}" in capsys.readouterr().err
    (published,) = publications(ticks.environment, stock_high_low)
    assert published.partial == [early, behind]


def test_a_complete_reprocess_takes_the_place_of_a_partial_one_and_not_the_other_way_round(
    reprocess: Callable[..., dict], ticks: ArchivedTopic
) -> None:
    interval = ended(MINUTE)
    assert reprocess(interval, allow_partial=True)["published"]
    ticks.archive(3, 0)
    complete = reprocess(interval)
    assert (complete["published"], complete["partial"]) == (True, [])
    assert batch.told(interval, complete).endswith("2 rows; published")
    ticks.produce(1)
    late = reprocess(interval, allow_partial=True)
    assert late["partial"]
    assert not late["published"], "of the same archive, the complete run stays"
    assert "not published" in batch.told(interval, late)
    (published,) = publications(ticks.environment, stock_high_low)
    assert published.partial == []


@pytest.fixture
def published_lake(environment: Environment, tmp_path: Path) -> Environment:
    """Three published days: a partial one, a complete one, and a partial one without any row."""
    own = replace(environment, lake=f"{environment.lake}/{tmp_path.name}")
    for number, (high, why) in enumerate([(1, ["the archive was behind"]), (1, []), (0, ["it had not ended", "loss"])]):
        if high:
            write_batch(own, interval(number), f"run-{number}", high)
        proof = replace(certificate(1), partial=why)
        result = {"rows_read": 3 * high}
        day = interval(number)
        publish(own, stock_high_low, day, run=f"run-{number}", version="v1", certificate=proof, result=result)
    return own


@pytest.fixture
def printed(
    published_lake: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    """What `millrace` prints."""
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: SimpleNamespace(environment=published_lake))

    def run(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code
        return capsys.readouterr().out

    return run


FIRST = f"stock_high_low {interval(0).id} is partial: the archive was behind"
EMPTY = f"stock_high_low {interval(2).id} is partial: it had not ended; loss"


def test_the_view_and_the_list_of_its_intervals_say_which_are_partial_and_why(printed: Callable[..., str]) -> None:
    for arguments in ((), ("--start", interval(1).start.isoformat()), ("--intervals",)):
        lines = printed("view", "stock_high_low", *arguments).splitlines()
        assert {FIRST, EMPTY} <= set(lines), arguments
        assert not any(interval(1).id in line and "is partial" in line for line in lines)
    told = json.loads(printed("view", "stock_high_low", "--intervals", "--json"))
    assert [(row["partial"], row["why_partial"]) for row in told] == [
        (True, "the archive was behind"),
        (False, None),
        (True, "it had not ended; loss"),
    ]
    rows = json.loads(printed("view", "stock_high_low", "--json"))
    assert {(row["_interval"], row["_partial"]) for row in rows} == {(interval(0).id, True), (interval(1).id, False)}


def test_the_versions_and_their_comparison_say_what_is_partial(
    printed: Callable[..., str], published_lake: Environment
) -> None:
    write_batch(published_lake, interval(0), "other", 2)
    result = {"rows_read": 3}
    day, proof = interval(0), certificate(1)
    publish(published_lake, stock_high_low, day, run="other", version="v2", certificate=proof, result=result)
    assert "3 (20261101T000000Z to 20261103T000000Z; 2 partial)" in printed("versions", "stock_high_low")
    compared = printed("compare", "stock_high_low", "v1", "v2")
    assert "1 of these intervals are published by v1 as partial" in compared
    assert f"{day.id} (partial batch against batch): 0 equal, 3 different" in compared
    first, *_ = json.loads(printed("compare", "stock_high_low", "v1", "v2", "--json"))["intervals"]
    assert (first["partial_a"], first["partial_b"]) == (True, False)


def test_the_records_of_late_events_are_followed_by_what_is_partial(
    printed: Callable[..., str], published_lake: Environment
) -> None:
    record_publication(published_lake, stock_high_low, interval(1), "v1")
    lines = printed("late", "stock_high_low").splitlines()
    assert [line for line in lines if "is partial" in line] == [EMPTY, FIRST]
    assert any(line.split()[:1] == [interval(1).id] for line in lines)


def test_the_status_says_what_is_partial(published_lake: Environment) -> None:
    assert partial_intervals(published_lake) == [EMPTY, FIRST]


def test_of_many_partial_intervals_the_newest_are_listed_and_the_others_counted() -> None:
    days = [replace(publication(interval(number), 0), certificate={"partial": ["why"]}) for number in range(8)]
    *listed, others = partial_lines(stock_high_low, days)
    assert [line.split()[1] for line in listed] == [interval(number).id for number in (7, 6, 5, 4, 3)]
    assert others.startswith("stock_high_low: 3 more published intervals are partial: `millrace view")

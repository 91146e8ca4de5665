"""A micro-batch that is replayed changes nothing, and a new version starts where it must."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.lake import RAW_VERSION, archive_query, speed_query
from tests.oracle.arrivals import Arrival
from tests.oracle.high_low import high_low
from tests.oracle.ticks import read_tick
from tests.parity.layer_runs import LayerRuns

pytestmark = [pytest.mark.long, pytest.mark.stack]

DAY = timedelta(days=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def tick(moment: datetime, price: int = 1) -> Arrival:
    text = f'{{"symbol":"A","event_time":"{moment.isoformat()}","price":{price},"volume":1}}'
    return Arrival(text.encode(), moment, 0)


def numbers(checkpoint: Path, log: str) -> list[int]:
    return sorted(int(file.name) for file in (checkpoint / log).iterdir() if file.name.isdigit())


def forget_from(checkpoint: Path, batch: int) -> None:
    """As a driver leaves it that was killed after writing a micro-batch's rows and before noting it."""
    for log, first in (("offsets", batch + 1), ("commits", batch)):
        for number in numbers(checkpoint, log):
            if number >= first:
                (checkpoint / log / str(number)).unlink()
                (checkpoint / log / f".{number}.crc").unlink(missing_ok=True)


def logged(run: LayerRuns) -> set[int]:
    """The micro-batches that have rows in the log of updates."""
    return {row["_batch_id"] for row in run.speed_log().select("_batch_id").distinct().collect()}


def test_a_replayed_micro_batch_changes_nothing(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    sent = run.stream([[tick(NOON, 1)], [tick(NOON, 2), tick(NOON + timedelta(minutes=1), 3)]])
    run.archive()
    updates = run.speed_log().count()
    speed = run.checkpoint(speed_query(run.pipeline.name))
    archive = run.checkpoint(archive_query(run.pipeline.topic.name), RAW_VERSION)
    replayed = {speed: max(logged(run)), archive: numbers(archive, "commits")[-1]}
    for checkpoint, batch in replayed.items():
        forget_from(checkpoint, batch)

    run.stream([])
    run.archive()

    assert all(batch in numbers(checkpoint, "commits") for checkpoint, batch in replayed.items()), "processed again"
    assert run.speed_log().count() == updates
    assert run.raw_rows().count() == len(sent)
    assert run.speed_rows() == high_low([found for found in map(read_tick, sent) if found])


def test_a_micro_batch_that_reads_nothing_commits_nothing(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    run.stream([[tick(NOON)], [tick(NOON + timedelta(minutes=10))]])
    written = logged(run)
    assert len(written) == 2
    assert numbers(run.checkpoint(speed_query(run.pipeline.name)), "commits")[-1] > max(written), "one came after them"
    # Version 0 made the table, and the first micro-batch after a start is always written.
    assert run.table(run.lake.speed(run.pipeline.name)).version() <= len(written) + 1


def test_a_query_goes_on_where_it_stopped(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    sent = run.stream([[tick(NOON, 1)]])
    run.archive()
    sent += run.stream([[tick(NOON, 5)]])
    run.archive()
    assert run.speed_rows() == high_low([found for found in map(read_tick, sent) if found])
    assert sorted(row["offset"] for row in run.raw_rows().collect()) == [0, 1]


def test_a_lost_checkpoint_is_refused_while_its_rows_are_there(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    run.stream([[tick(NOON)]])
    shutil.rmtree(run.checkpoint(speed_query(run.pipeline.name)))
    with pytest.raises(
        UsageError, match=r"checkpoint .* is gone, but .* holds rows of version v1: .* put the checkpoint"
    ):
        run.stream([])


def test_an_archive_that_lost_its_checkpoint_archives_nothing_twice(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    run.produce([tick(NOON)])
    run.archive()
    checkpoint = run.checkpoint(archive_query(run.pipeline.topic.name), RAW_VERSION)
    (checkpoint / "metadata").unlink()
    with pytest.raises(UsageError, match=r"has offsets and commits, but no metadata.* archive a topic of another name"):
        run.archive()
    shutil.rmtree(checkpoint)
    with pytest.raises(UsageError, match=r"checkpoint .* is gone, but .* holds records: .* put the checkpoint back"):
        run.archive()
    assert run.raw_rows().count() == 1


def test_a_query_that_died_before_it_noted_where_it_begins_begins_there(new_run: Callable[[], LayerRuns]) -> None:
    """Spark writes `metadata` when it starts a query, and its first offsets once Kafka has answered."""
    run = new_run()
    run.stream([])
    checkpoint = run.checkpoint(speed_query(run.pipeline.name))
    for name in ("sources", "offsets", "commits", "state"):
        shutil.rmtree(checkpoint / name)
    shutil.rmtree(run.lake.speed(run.pipeline.name).removeprefix("file://"))  # it has a first, empty micro-batch
    sent = run.produce([tick(NOON), tick(NOON + timedelta(minutes=1))])
    sent += run.stream([[tick(NOON + timedelta(minutes=2))]])
    assert run.speed_rows() == high_low([found for found in map(read_tick, sent) if found])


def test_a_new_version_replays_from_the_first_unpublished_interval(new_run: Callable[[], LayerRuns]) -> None:
    run = new_run()
    days = [NOON + number * DAY for number in range(5)]
    sent = run.stream([[tick(day) for day in days]])
    intervals = [Interval.of(day, DAY) for day in days]
    # The third day is a hole; an event may be a day ahead of its Kafka timestamp, so the day before is read as well.
    run.publish(intervals[0], intervals[1], intervals[3])
    run.publish(intervals[2], version="withdrawn")
    run.stream([], version="v2")
    ticks = [found for found in map(read_tick, sent) if found]
    assert run.speed_rows("v2") == high_low(ticks[1:])
    assert run.speed_rows("v1") == high_low(ticks)
    noted = run.checkpoint(speed_query(run.pipeline.name), "v2") / "started.json"
    assert json.loads(noted.read_text())["whole_from"] == intervals[2].start.isoformat()

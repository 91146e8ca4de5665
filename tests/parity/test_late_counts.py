"""What the speed layer dropped as late is told exactly, and everywhere the same: against plain Python."""

from __future__ import annotations

import itertools
import json
import random
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, NamedTuple

import pytest
from pyspark.sql import SparkSession

from jobs.interval import Interval
from jobs.lake import Lake, speed_stream
from millrace.cli import main
from millrace.environment import Environment
from millrace.lake.late import late_events
from millrace.lake.progress import StreamProgress
from millrace.lake.served import served_intervals
from millrace.lake.serving import begin_serving
from millrace.lake.store import LakeStore
from millrace.lake.view import read_view
from tests.oracle.arrivals import Arrival
from tests.oracle.ticks import Tick, read_tick
from tests.parity.layer_runs import VERSION, LayerRuns

pytestmark = [pytest.mark.release, pytest.mark.stack]

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
MIDNIGHT = datetime(2026, 11, 21, tzinfo=UTC)
DAYS = [Interval(MIDNIGHT - DAY, MIDNIGHT), Interval(MIDNIGHT, MIDNIGHT + DAY)]


class Late(NamedTuple):
    batch: int
    tick: Tick

    @property
    def window(self) -> datetime:
        return self.tick.event_time.replace(second=0, microsecond=0)


def sent_around_midnight() -> list[list[Arrival]]:
    """Six batches of ticks, each a few minutes after the one before; a third of a batch is up to eight minutes old."""
    dice = random.Random(11)

    def arrival(batch: int) -> Arrival:
        age = dice.uniform(0, 8) if dice.random() < 1 / 3 else 0
        moment = MIDNIGHT + timedelta(minutes=3 * batch - 9 + dice.uniform(0, 1) - age)
        symbol, partition = dice.choice("AB"), dice.randrange(2)
        text = f'{{"symbol":"{symbol}","event_time":"{moment.isoformat()}","price":1,"volume":1}}'
        return Arrival(text.encode(), moment, partition)

    return [[arrival(batch) for _ in range(40)] for batch in range(6)]


def dropped(batches: list[list[Tick]], watermark: timedelta) -> list[Late]:
    """The definition in words: an event is late when its minute had ended by the watermark at which the micro-batch
    before began, which is that of what was read before that one. `batches` has the empty ones too."""
    found = []
    for number, batch in enumerate(batches):
        newest = max((tick.event_time for tick in itertools.chain(*batches[: max(0, number - 1)])), default=None)
        late = [Late(number, tick) for tick in batch]
        found += [each for each in late if newest is not None and each.window + MINUTE <= newest - watermark]
    return found


@pytest.fixture
def printed(
    environment: Environment, lake: Lake, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., str]:
    connection = SimpleNamespace(environment=replace(environment, lake=lake.root))
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: connection)

    def run(*arguments: str) -> str:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        assert not end.value.code
        return capsys.readouterr().out

    return run


def test_late_events_are_counted_per_interval_window_and_micro_batch_in_every_place(
    spark: SparkSession,
    environment: Environment,
    lake: Lake,
    printed: Callable[..., str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    run, here = LayerRuns(spark, environment, lake), replace(environment, lake=lake.root)
    ticks = [tick for sent in run.stream(sent_around_midnight()) if (tick := read_tick(sent))]
    lines = progress_lines(here, speed_stream(run.pipeline.name, VERSION))
    numbers = [line["batch_id"] for line in lines]
    batches = [read_by(line, ticks) for line in lines]
    assert sorted(itertools.chain(*batches)) == sorted(ticks), "each tick was read by one micro-batch"
    expected = dropped(batches, run.pipeline.watermark)
    results = run.reprocess([day.start for day in DAYS], run.archive())
    monkeypatch.setattr("jobs.pipelines.find_pipeline", lambda name: run.pipeline)
    begin_serving(here, run.pipeline, VERSION, "a test")
    served = served_intervals(here, run.pipeline, read_view(here, run.pipeline))
    assert {each["interval"]: each["layer"] for each in served} == {day.id: "speed" for day in DAYS}
    shown = {each["interval"]: (each["late"], each["late_by_window"]) for each in served}

    for day, result in zip(DAYS, results, strict=True):
        mine = [late for late in expected if day.start <= late.window < day.end]
        assert mine, "there is something to count on either side of midnight"
        windows = [[start.isoformat(), count] for start, count in sorted(Counter(each.window for each in mine).items())]
        by_batch = [[numbers[batch], count] for batch, count in sorted(Counter(each.batch for each in mine).items())]
        assert shown[day.id] == (len(mine), windows), "what the view says of an interval that the speed layer serves"
        assert result["late"] == {"events": len(mine), "windows": windows}, "what the run counted in Spark"
        told = json.loads(printed("late", run.pipeline.name, day.id, "--json"))
        about = {"interval": day.id, "micro_batches": by_batch, "read_otherwise": 0}
        assert told == {**about, "events": len(mine), "windows": windows}
        text = printed("late", run.pipeline.name, day.id)
        end = f"{len(mine):,} late events in {len(windows)} windows, dropped by {len(by_batch)} micro-batches"
        assert text.splitlines()[-1] == f"{run.pipeline.name} {day.id}: {end}"
        assert all(f"{start[:10]} {start[11:19]}" in text for start, _ in windows)

    # Spark itself counts the rows that late events would have changed: it drops them when they are grouped by key.
    grouped = Counter(batch for batch, *_ in {(each.batch, each.tick.symbol, each.window) for each in expected})
    assert [line["late_rows"] for line in lines] == [grouped[batch] for batch in range(len(lines))]
    assert StreamProgress(here).last(speed_stream(run.pipeline.name, VERSION)) == lines[-1]


def read_by(line: dict[str, Any], ticks: list[Tick]) -> list[Tick]:
    """What a micro-batch read, by its line of the journal."""
    starts, ends = (next(iter(line[name].values())) for name in ("start_offsets", "end_offsets"))
    return [tick for tick in ticks if starts.get(str(tick.partition), 0) <= tick.offset < ends[str(tick.partition)]]


def progress_lines(environment: Environment, stream: str) -> list[dict[str, Any]]:
    store = LakeStore(environment)
    return [json.loads(line) for path in store.list(f"progress/{stream}") for line in store.read_lines(path) if line]


def test_what_the_served_version_never_read_was_not_dropped(
    spark: SparkSession, environment: Environment, lake: Lake
) -> None:
    run = LayerRuns(spark, environment, lake)
    run.produce(sent_around_midnight()[0])
    run.archive()
    assert late_events(replace(environment, lake=lake.root), run.pipeline, DAYS[0], VERSION) is None

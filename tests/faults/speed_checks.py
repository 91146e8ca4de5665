"""The end of a run, of the speed layer: its log, its watermarks, and what the runs said of it, against the oracle."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

import duckdb
import pyarrow as pa

from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.verdicts import ACCEPTED_LOSS, LATE, NOT_YET_READ
from millrace.lake.speed_removal import removed_at
from millrace.lake.tables import open_table
from tests.end_to_end.topic_oracle import view_rows
from tests.faults.oracle import Oracle, check_rows
from tests.faults.reader import Answer, Rows, by_interval
from tests.faults.scene import Scene
from tests.faults.speed_oracle import LateWindow, MicroBatch, SpeedOracle, read_micro_batches
from tests.faults.waiting import await_true, quietly

__all__ = ["SpeedTotals", "await_journal", "check_parity", "check_speed", "newest_rows"]


@dataclass(frozen=True)
class SpeedTotals:
    """What of the speed layer was compared. `behind`: micro-batches whose watermark could not be worked out."""

    intervals: int
    rows: int
    late: int
    runs: int
    watermarks: int
    behind: int

    def lines(self) -> list[str]:
        return [
            f"the speed layer's rows of {self.intervals} published intervals equal the oracle's over what it read in"
            f" time: {self.rows:,} rows, without {self.late:,} late events",
            f"its watermark was the oracle's in {self.watermarks:,} micro-batches; left out, as a loss hid it, in"
            f" {self.behind}",
            f"{self.runs} runs had counted its equal and differing rows, and its late events, as the oracle does",
        ]


def await_journal(scene: Scene, offsets: dict[int, int]) -> None:
    """Until the speed layer's journal tells who has read everything below these: it lags a heartbeat behind."""

    def told() -> bool:
        ends = [each.ends for each in quietly(lambda: _micro_batches(scene)) or ()]
        return all(any(each.get(partition, 0) >= end for each in ends) for partition, end in offsets.items())

    await_true(f"the speed layer's journal at {offsets}", told)


def check_speed(
    scene: Scene, oracle: Oracle, speed: Oracle, intervals: Collection[str], answers: Collection[Answer]
) -> SpeedTotals:
    """`oracle`: of what is archived. `speed`: of what the speed layer was to read. `intervals`: ids of the published
    ones, whose rows are compared unless a fault had them removed; `answers`: of their runs (see `check_parity`)."""
    environment, name = scene.stack.environment, stock_high_low.name
    batches = _micro_batches(scene)
    read = SpeedOracle(speed.records.values(), batches)
    watermarks, behind = read.check_watermarks(is_lossy=bool(scene.lost["speed"]))
    table = open_table(environment, Lake(environment.lake).speed(name))
    assert table is not None
    found = by_interval(newest_rows(table.to_pyarrow_dataset()))
    intervals = [each for each in intervals if not removed_at(environment, name, each)]
    for interval in intervals:
        check_rows(f"the speed layer's rows of {interval}", found.get(interval, {}), read.rows(interval))
    # A run cannot count what is lost to the archive, though the speed layer may have read it.
    archived = SpeedOracle(oracle.without(scene.lost["speed"]).records.values(), batches)
    for answer in answers:
        check_parity(read, archived, answer, is_lossy=any(scene.lost.values()))
    return SpeedTotals(
        intervals=len(intervals),
        rows=sum(len(read.rows(interval)) for interval in intervals),
        late=sum(_events(read.late(interval)) for interval in intervals),
        runs=len(answers),
        watermarks=watermarks,
        behind=behind,
    )


def check_parity(read: SpeedOracle, archived: SpeedOracle, answer: Answer, *, is_lossy: bool) -> None:
    """Fails where a run had counted other outcomes of its comparison, or other late events, than the oracle does; or
    where a difference has no cause, or one that only something else could be the cause of. `is_lossy`: a loss could.

    A run that came after the speed rows were removed has late events alone. As of the micro-batch that it compared
    with: what came later it could not know. The rows of `answer` are its own.
    """
    run, result = answer.publication, answer.publication.result
    interval, until = run.interval.id, result["speed_batch"]
    if "speed_removed" not in result:
        expected = read.parity(interval, until, answer.rows)
        told = {name: result["parity"][name] for name in expected}
        assert told == expected, f"interval {interval}, run {run.run}: parity {told}, the oracle counts {expected}"
        causes, possible = result["parity"]["causes"], {LATE, NOT_YET_READ, *([ACCEPTED_LOSS] if is_lossy else [])}
        differing = sum(count for name, count in told.items() if name != "equal")
        assert (set(causes) <= possible, sum(causes.values())) == (True, differing), (
            f"interval {interval}, run {run.run}: causes {causes} of {differing} differences; possible: {possible}"
        )
    late = archived.late(interval, until)
    counted = {"events": _events(late), "windows": [list(each) for each in late]}
    assert result["late"] == counted, f"interval {interval}, run {run.run}: late {result['late']}, oracle {counted}"


def newest_rows(log: pa.dataset.Dataset) -> Rows:
    """The newest row of each key of the log; fails where a micro-batch has written a key twice."""
    with duckdb.connect() as session:
        session.register("log", log)
        doubled = session.sql(_DOUBLED).fetchall()
        assert not doubled, f"(symbol, window, micro-batch, rows) in the speed layer's log: {doubled}"
        return view_rows(session.sql(_NEWEST).arrow().read_all())


_DOUBLED = """
    SELECT symbol, window_start, _batch_id, count(*) FROM log GROUP BY ALL HAVING count(*) > 1 LIMIT 5
"""
_NEWEST = """
    SELECT * FROM log QUALIFY row_number() OVER (PARTITION BY symbol, window_start ORDER BY _batch_id DESC) = 1
"""


def _micro_batches(scene: Scene) -> list[MicroBatch]:
    store, folder = scene.stack.store, Lake("").progress_folder(scene.speed.job_name)
    return read_micro_batches(line for path in store.list(folder) for line in store.read_lines(path))


def _events(late: list[LateWindow]) -> int:
    return sum(count for _, count in late)

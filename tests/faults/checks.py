"""The end of a run: everything must be settled, and then everything is compared."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.lake.certificate import certify
from millrace.lake.ledger import update_ledger
from millrace.lake.ledger.entries import Kind
from millrace.lake.offsets import end_offsets
from millrace.lake.pending_late import pending_late
from millrace.lake.published import Publication, publications
from millrace.lake.tables import open_table
from millrace.lake.view import read_view
from tests.end_to_end.topic_oracle import view_rows
from tests.faults.oracle import Oracle, check_rows, numbered_records, offsets_of
from tests.faults.reader import Rows, by_interval
from tests.faults.scene import Scene
from tests.faults.spark_sql import check_spark_view, view_in_spark
from tests.faults.speed_checks import SpeedTotals, await_journal, check_speed
from tests.faults.streams import Stream
from tests.faults.waiting import PATIENCE, await_true, quietly

__all__ = ["Totals", "check_all", "settle"]


@dataclass(frozen=True)
class Totals:
    """What was compared in the end."""

    sent: int
    acknowledged: int
    given_up: int
    archived: int
    lost: int
    intervals: int
    repairs: int
    answers: int
    answer_rows: int
    partial: int
    view_rows: int
    spark_rows: int
    speed: SpeedTotals
    polls: int
    unanswered: int

    def lines(self) -> list[str]:
        return [
            f"{self.sent:,} records sent, {self.acknowledged:,} acknowledged, {self.given_up} given up",
            f"{self.archived:,} records archived, each once, byte for byte; {self.lost} accepted as lost; the ledger"
            " accounts for every offset",
            f"{self.intervals} intervals published, by {self.answers} runs that the reader saw"
            f" ({self.answer_rows:,} rows, each as the oracle has it for what the run had certified)",
            f"{self.partial} of them as partial: those that an accepted loss touched, and no other",
            f"the view equals the oracle row by row: {self.view_rows:,} rows",
            f"so does the view in Spark SQL: {self.spark_rows:,} rows, each interval from the same layer and version",
            *self.speed.lines(),
            f"the reader polled {self.polls:,} times; {self.unanswered} times a disturbed storage did not answer",
        ]


def settle(scene: Scene) -> None:
    """Waits until both layers have processed all that was sent, and publishes every past day with all its events.

    And the days that an accepted loss touched, though they are not over: they can be nothing but partial.
    """
    environment = scene.stack.environment
    certify(environment, stock_ticks, wait=PATIENCE)
    ends = end_offsets(environment, stock_ticks.name)
    await_speed(scene.speed, ends)
    await_journal(scene, ends)
    _reprocess(scene, _unsettled(scene))
    _reprocess(scene, [day for day in scene.touched_days() if day not in scene.days], "--allow-partial")
    left = _unsettled(scene)
    assert not left, f"still with pending late events after their repair: {left}"


def _reprocess(scene: Scene, days: list[datetime], *options: str) -> None:
    if days:
        run = scene.reprocess(*days, options=options)
        try:
            assert run.result(PATIENCE * len(days)) == 0, run.output
        finally:
            run.end()


def await_speed(stream: Stream, offsets: dict[int, int]) -> None:
    """Until the speed layer has done a micro-batch that ends at or after these offsets."""

    def reached() -> bool:
        done = quietly(lambda: _checkpoint_offsets(stream)) or {}
        return all(done.get(partition, 0) >= end for partition, end in offsets.items())

    await_true(f"{stream.title} at {offsets}", reached)


def check_all(scene: Scene, acknowledged: Path) -> Totals:
    """Everything against the oracle, after `settle`; the reader polls until the end."""
    environment = scene.stack.environment
    polls = scene.reader.polls
    await_true("the reader to see the end", lambda: scene.reader.polls > polls + 1)
    scene.reader.end()
    assert not scene.reader.objections, f"the reader objects: {scene.reader.objections}"
    held = {*scene.held, *([] if scene.is_recreated else numbered_records(environment.kafka_bootstrap))}
    everything = Oracle.of(acknowledged, sorted(held), scene.load.maybe)
    oracle, speed = everything.without(scene.lost["archive"]), everything.without(scene.lost["speed"])
    table = open_table(environment, Lake(environment.lake).raw(stock_ticks.name))
    assert table is not None
    archived = oracle.check_archive(table.to_pyarrow_dataset())
    _check_ledger(scene, oracle)
    published = publications(environment, stock_high_low)
    expected = _expected(oracle, speed, published)
    view = read_view(environment, stock_high_low)
    check_rows("the view", view_rows(view), expected)
    answers = list(scene.reader.answers.values())
    return Totals(
        sent=scene.load.sent,
        acknowledged=scene.load.acknowledged,
        given_up=len(scene.load.maybe),
        archived=archived,
        lost=len(everything.records) - len(oracle.records),
        intervals=len(published),
        repairs=len(answers) - len(published),
        answers=len(answers),
        answer_rows=sum(oracle.check_answer(answer) for answer in answers),
        partial=_check_partial(scene, published),
        view_rows=len(expected),
        spark_rows=check_spark_view(view_in_spark(scene.stack, scene.folder / "spark"), view, expected),
        speed=check_speed(scene, oracle, speed, [each.interval.id for each in published], answers),
        polls=scene.reader.polls,
        unanswered=scene.reader.unanswered,
    )


def _check_ledger(scene: Scene, oracle: Oracle) -> None:
    """It is complete, but for exactly the losses that were accepted, and has the number of our records; of a topic that
    was made anew it tells that, and no more."""
    report = update_ledger(scene.stack.environment, stock_ticks.name)
    assert not report.problem, f"the ledger proves nothing: {report.problem}"
    ledger = report.ledger
    marks = [entry for entry in ledger.entries if entry.kind == Kind.RECREATED and entry.start == entry.end]
    assert bool(marks) == scene.is_recreated, f"topic recreated: {scene.is_recreated}, the ledger tells {marks}"
    accepted = [entry for entry in ledger.entries if entry.kind == Kind.ACCEPTED]
    told = {(each.partition, offset) for each in accepted for offset in range(each.start, each.end)}
    assert told == offsets_of(scene.lost["archive"]), f"accepted: {scene.lost}, the ledger tells {accepted}"
    counted = {partition: ledger.records(partition) for partition in ledger.partitions}
    ours = Counter(record.partition for record in oracle.records.values())
    assert counted == ours, f"archived by partition: the ledger counts {counted}, Kafka acknowledged {ours}"
    left = [entry for entry in ledger.entries if not (entry.is_harmless or entry in accepted or entry in marks)]
    assert not left, f"the ledger is not complete: {left}"


def _check_partial(scene: Scene, published: list[Publication]) -> int:
    """How many intervals are published as partial: those that an accepted loss touched, for that, and no other."""
    touched = {scene.interval(day).id for day in scene.touched_days()}
    found = {each.interval.id: each.partial for each in published}
    assert touched <= set(found), f"touched by a loss, and not published: {touched - set(found)}"
    for interval, reasons in found.items():
        is_lossy = any(reason.startswith("accepted loss") for reason in reasons)
        assert is_lossy == (interval in touched), f"interval {interval} is partial for {reasons}; touched: {touched}"
        assert bool(reasons) == is_lossy, f"interval {interval} is partial for {reasons}"
    return len(touched)


def _expected(oracle: Oracle, speed: Oracle, published: list[Publication]) -> Rows:
    """Published intervals as the archive has them, all others as the speed layer could read them."""
    batch, live = by_interval(oracle.rows()), by_interval(speed.rows())
    served = {each.interval.id for each in published}
    chosen = [batch.get(each, {}) if each in served else live.get(each, {}) for each in sorted({*batch, *live})]
    return {key: row for rows in chosen for key, row in rows.items()}


def _unsettled(scene: Scene) -> list[datetime]:
    """Past days that are not published, or have pending late events."""
    environment = scene.stack.environment
    published = publications(environment, stock_high_low)
    pending = pending_late(environment, stock_high_low, published)
    settled = {each.interval.start for each in published if not pending[each.interval.id]}
    return [day for day in scene.days if day not in settled]


def _checkpoint_offsets(stream: Stream) -> dict[int, int]:
    from jobs.checkpoint import Checkpoint, of_topic
    from millrace.lake.text_files import TextFiles

    planned = Checkpoint(TextFiles(stream.stack.store), stream.checkpoint).planned(stream.committed())
    return of_topic(planned.end_offsets, stock_ticks.name) if planned else {}

"""The checks of the speed layer see what they are there to see: each rule, broken on purpose."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from jobs.interval import Interval
from jobs.topics import stock_ticks
from jobs.verdicts import ACCEPTED_LOSS, LATE, NOT_YET_READ, UNEXPLAINED
from millrace.lake.published import Publication
from tests.end_to_end.topic_oracle import KafkaRecord
from tests.faults.oracle import check_rows
from tests.faults.reader import Answer, Rows
from tests.faults.speed_checks import check_parity, newest_rows
from tests.faults.speed_oracle import MicroBatch, SpeedOracle, read_micro_batches

DAY = datetime(2026, 11, 18, tzinfo=UTC)
INTERVAL = Interval(DAY, DAY + timedelta(days=1))
MINUTE = timedelta(minutes=1)
NINTH, TENTH = DAY + 9 * MINUTE, DAY + 10 * MINUTE


def tick(offset: int, moment: datetime, price: int) -> KafkaRecord:
    value = f'{{"symbol":"A","event_time":"{moment.isoformat()}","price":{price},"volume":1}}'.encode()
    return KafkaRecord(0, offset, DAY, b"A", value)


def row(*prices: int) -> dict[str, Any]:
    first, last = Decimal(prices[0]), Decimal(prices[-1])
    told = {"open": first, "high": Decimal(max(prices)), "low": Decimal(min(prices)), "close": last}
    return {**told, "volume": len(prices), "count": len(prices)}


# Micro-batch 1 reads nothing and moves the watermark to 2 minutes before the tenth: record 2 is late for what follows.
RECORDS = [
    tick(0, DAY + timedelta(seconds=10), 1),
    tick(1, TENTH, 3),
    tick(2, DAY + timedelta(seconds=20), 9),
    tick(3, NINTH, 4),
    tick(4, TENTH, 5),
]
BATCHES = [
    MicroBatch(0, {0: 0}, {0: 2}, None),
    MicroBatch(2, {0: 2}, {0: 4}, DAY + 8 * MINUTE),
    MicroBatch(3, {0: 4}, {0: 5}, DAY + 8 * MINUTE),
]
SPEED: Rows = {("A", DAY): row(1), ("A", NINTH): row(4), ("A", TENTH): row(3, 5)}
BATCH: Rows = SPEED | {("A", DAY): row(1, 9)}


def oracle() -> SpeedOracle:
    return SpeedOracle(RECORDS, BATCHES)


def answer(**changed: object) -> Answer:
    """Of a run that compared with micro-batch 2: of the tenth minute the speed layer had counted one event of two."""
    parity = {"equal": 1, "different": 2, "only_batch": 0, "only_speed": 0, "causes": {LATE: 1, NOT_YET_READ: 1}}
    result = {"speed_batch": 2, "parity": parity, "late": {"events": 1, "windows": [[DAY.isoformat(), 1]]}}
    publication = Publication("stock_high_low", INTERVAL, "run", "1", 7, {}, result | changed, DAY)
    return Answer(publication, BATCH)


def test_rows_are_of_what_was_read_in_time() -> None:
    assert oracle().rows(INTERVAL.id) == SPEED
    assert oracle().rows(INTERVAL.id, until=2) == SPEED | {("A", TENTH): row(3)}
    assert oracle().late(INTERVAL.id) == [(DAY.isoformat(), 1)]
    assert oracle().late(INTERVAL.id, until=0) == []


def test_a_row_that_counts_a_late_event_or_lacks_another_one_is_seen() -> None:
    for wrong in ({("A", DAY): row(1, 9)}, {("A", TENTH): row(3)}):
        with pytest.raises(AssertionError, match="1 of 3 rows differ"):
            check_rows("the log", SPEED | wrong, oracle().rows(INTERVAL.id))


def test_the_watermark_of_the_micro_batch_before_judges() -> None:
    assert oracle().check_watermarks(is_lossy=False) == (3, 0)
    # Nothing lies between the two: when the second began, no watermark was known to the one before it.
    at_once = [BATCHES[0], BATCHES[1]._replace(number=1, late_watermark=None), BATCHES[2]]
    assert SpeedOracle(RECORDS, at_once).check_watermarks(is_lossy=False) == (3, 0)


@pytest.mark.parametrize("watermark", [None, DAY + 7 * MINUTE, DAY + 9 * MINUTE])
def test_another_watermark_is_seen_and_one_that_is_behind_is_left_out_where_a_loss_was_accepted(
    watermark: datetime | None,
) -> None:
    wrong = SpeedOracle(RECORDS, [*BATCHES[:2], BATCHES[2]._replace(late_watermark=watermark)])
    with pytest.raises(AssertionError, match="micro-batch 3: late by"):
        wrong.check_watermarks(is_lossy=False)
    if watermark is None or watermark < DAY + 8 * MINUTE:
        assert wrong.check_watermarks(is_lossy=True) == (2, 1)
    else:
        with pytest.raises(AssertionError, match="micro-batch 3: late by"):
            wrong.check_watermarks(is_lossy=True)


def test_a_record_that_no_micro_batch_has_read_or_two_have_is_seen() -> None:
    with pytest.raises(AssertionError, match="no micro-batch has read partition 0, offset 4"):
        SpeedOracle(RECORDS, BATCHES[:2])
    with pytest.raises(AssertionError, match="no micro-batch has read partition 0, offset 0"):
        SpeedOracle(RECORDS, BATCHES[1:])
    with pytest.raises(AssertionError, match="two have read the same"):
        SpeedOracle(RECORDS, [*BATCHES, MicroBatch(4, {0: 4}, {0: 6}, None)])


def test_the_journal_is_read_though_a_crash_has_cut_a_line_off() -> None:
    def line(batch: MicroBatch) -> str:
        starts, ends = ({stock_ticks.name: {str(p): o for p, o in each.items()}} for each in (batch.starts, batch.ends))
        late = batch.late_watermark and batch.late_watermark.isoformat().replace("+00:00", "Z")
        told = {"batch_id": batch.number, "start_offsets": starts, "end_offsets": ends, "late_watermark": late}
        return json.dumps(told)

    whole = [line(each) for each in BATCHES]
    assert read_micro_batches([whole[0], whole[1][:30], "", whole[1], whole[2]]) == BATCHES


def test_parity_of_a_run_is_as_of_the_micro_batch_that_it_compared_with() -> None:
    check_parity(oracle(), oracle(), answer(), is_lossy=False)
    with pytest.raises(AssertionError, match="the oracle counts"):
        check_parity(oracle(), oracle(), answer(speed_batch=3), is_lossy=False)
    with pytest.raises(AssertionError, match="the oracle counts"):
        check_parity(oracle(), oracle(), replace(answer(), rows=SPEED), is_lossy=False)


@pytest.mark.parametrize("causes", [{LATE: 1}, {LATE: 1, UNEXPLAINED: 1}, {LATE: 1, ACCEPTED_LOSS: 1}])
def test_a_difference_without_a_cause_or_with_an_impossible_one_is_seen(causes: dict[str, int]) -> None:
    wrong = answer(parity=answer().publication.result["parity"] | {"causes": causes})
    with pytest.raises(AssertionError, match="of 2 differences"):
        check_parity(oracle(), oracle(), wrong, is_lossy=False)


def test_a_difference_may_be_of_a_loss_where_one_was_accepted() -> None:
    told = answer(parity=answer().publication.result["parity"] | {"causes": {LATE: 1, ACCEPTED_LOSS: 1}})
    check_parity(oracle(), oracle(), told, is_lossy=True)


@pytest.mark.parametrize("late", [{"events": 2, "windows": [[DAY.isoformat(), 2]]}, {"events": 0, "windows": []}])
def test_late_events_that_a_run_has_counted_otherwise_are_seen(late: dict[str, Any]) -> None:
    with pytest.raises(AssertionError, match="run run: late"):
        check_parity(oracle(), oracle(), answer(late=late), is_lossy=False)


def test_late_events_that_are_lost_to_the_archive_are_not_counted_by_a_run() -> None:
    archived = SpeedOracle([each for each in RECORDS if each.offset != 2], BATCHES)
    check_parity(oracle(), archived, answer(late={"events": 0, "windows": []}), is_lossy=False)


def log(*batches: int) -> pa.dataset.Dataset:
    """Of one key, with its micro-batch's number as its high."""
    rows = [
        {"symbol": "A", "window_start": DAY, **row(1, 9), "high": Decimal(each), "_batch_id": each} for each in batches
    ]
    return ds.dataset(pa.Table.from_pylist(rows))


def test_the_newest_row_of_a_key_is_that_of_the_newest_micro_batch() -> None:
    assert newest_rows(log(2, 11, 10)) == {("A", DAY): row(1, 9) | {"high": Decimal(11)}}


def test_a_micro_batch_that_has_written_a_key_twice_is_seen() -> None:
    with pytest.raises(AssertionError, match="in the speed layer's log"):
        newest_rows(log(2, 2, 3))

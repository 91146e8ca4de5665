"""The reader of the fault suite sees what it is there to see: each rule, broken on purpose."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

from jobs.interval import Interval
from millrace.lake.published import Publication
from tests.end_to_end.topic_oracle import KafkaRecord
from tests.faults.oracle import Oracle
from tests.faults.reader import Answer, Reader, Windows

DAY = datetime(2026, 11, 18, tzinfo=UTC)
INTERVAL = Interval(DAY, DAY + timedelta(days=1))
ASKED_AT = INTERVAL.end + timedelta(days=1)
SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("window_start", pa.timestamp("us", "UTC")),
        *((name, pa.decimal128(18, 4)) for name in ("open", "high", "low", "close")),
        ("volume", pa.int64()),
        ("count", pa.int64()),
        ("_interval", pa.string()),
        ("_layer", pa.string()),
    ]
)


def row(symbol: str = "A", count: int = 2, layer: str = "speed", high: int = 3) -> dict[str, Any]:
    prices = {"open": Decimal(1), "high": Decimal(high), "low": Decimal(1), "close": Decimal(2)}
    keys = {"symbol": symbol, "window_start": DAY, "_interval": INTERVAL.id}
    return {**keys, **prices, "volume": 5, "count": count, "_layer": layer}


def view(*rows: dict[str, Any]) -> pa.Table:
    return pa.Table.from_pylist(list(rows), schema=SCHEMA)


def served(run: str) -> dict[str, Publication]:
    certificate = {"coverage": {"0": 2}, "partial": [], "kafka_end_at": ASKED_AT.isoformat()}
    publication = Publication("stock_high_low", INTERVAL, run, "1", 7, certificate, {}, datetime.now(UTC))
    return {INTERVAL.id: publication}


@pytest.fixture
def reader() -> Reader:
    return Reader(None, Windows())  # type: ignore[arg-type] - it is not started


def test_growing_counts_and_a_publication_are_no_objection(reader: Reader) -> None:
    reader.check(view(), {}, {})
    reader.check(view(row(count=1)), {}, {})
    reader.check(view(row(count=2), row("B")), {}, {})
    reader.check(view(row(layer="batch"), row("B", layer="batch")), served("one"), served("one"))
    reader.check(view(row(layer="batch", count=4), row("B", layer="batch")), served("two"), served("two"))
    assert reader.objections == []
    assert [run for _, run in reader.answers] == ["one", "two"]


@pytest.mark.parametrize(
    ("first", "second", "objection"),
    [
        ([row(), row("B")], [row()], "count 2, then gone"),
        ([row()], [row(count=1)], "count 2, then 1"),
        ([row()], [], "interval 20261118T000000Z is gone"),
        ([row()], None, "interval 20261118T000000Z is gone"),
        ([row()], [row(), row()], "twice"),
        ([row()], [row(), row("B", layer="batch")], "served by both layers"),
        ([row(layer="batch")], [row()], "went back from batch"),
        ([row(count=3)], [row(layer="batch")], "count 3, then 2"),
    ],
)
def test_what_vanishes_doubles_or_runs_backwards_is_an_objection(
    reader: Reader, first: list[dict[str, Any]], second: list[dict[str, Any]] | None, objection: str
) -> None:
    reader.check(view(*first), {}, {})
    assert reader.objections == []
    reader.check(pa.table({}) if second is None else view(*second), {}, {})
    assert objection in " ".join(reader.objections)


def test_a_count_may_be_lower_once_where_a_loss_touched_the_interval_and_the_batch_layer_takes_over() -> None:
    reader = Reader(None, Windows(), {INTERVAL.id})  # type: ignore[arg-type] - it is not started
    reader.check(view(row(count=5), row("B")), {}, {})
    reader.check(view(row(count=4, layer="batch")), served("one"), served("one"))
    assert reader.objections == []
    reader.check(view(row(count=4, layer="batch")), served("one"), served("one"))
    assert reader.objections == []
    reader.check(view(row(count=3, layer="batch")), served("two"), served("two"))
    assert "count 4, then 3" in " ".join(reader.objections)


def test_a_lower_count_in_a_touched_interval_is_an_objection_while_the_speed_layer_serves_it() -> None:
    reader = Reader(None, Windows(), {INTERVAL.id})  # type: ignore[arg-type] - it is not started
    reader.check(view(row(count=5)), {}, {})
    reader.check(view(row(count=4)), {}, {})
    assert "count 5, then 4" in " ".join(reader.objections)


def test_a_published_run_that_changes_its_answer_is_an_objection(reader: Reader) -> None:
    reader.check(view(row(layer="batch")), served("one"), served("one"))
    reader.check(view(row(layer="batch", high=9)), served("one"), served("two"))
    assert reader.objections == []  # which of both runs answered is not known
    reader.check(view(row(layer="batch", high=9)), served("one"), served("one"))
    assert "answered differently" in " ".join(reader.objections)


RIGHT = dict(zip(("open", "high", "low", "close", "volume", "count"), map(Decimal, (1, 3, 1, 3, 2, 2)), strict=True))


def oracle(*acknowledged: datetime) -> Oracle:
    """Of three ticks, the first ones acknowledged by then."""

    def tick(offset: int, price: int) -> KafkaRecord:
        value = f'{{"symbol":"A","event_time":"{DAY.isoformat()}","price":{price},"volume":1}}'.encode()
        return KafkaRecord(0, offset, DAY, b"A", value)

    return Oracle({0: tick(0, 1), 1: tick(1, 3), 2: tick(2, 9)}, dict(enumerate(acknowledged)))


def test_an_answer_is_compared_with_what_its_run_had_certified() -> None:
    publication = served("one")[INTERVAL.id]
    assert oracle().check_answer(Answer(publication, {("A", DAY): RIGHT})) == 1
    with pytest.raises(AssertionError, match="1 of 1 rows differ"):
        oracle().check_answer(Answer(publication, {("A", DAY): RIGHT | {"high": Decimal(9)}}))
    with pytest.raises(AssertionError, match="1 of 1 rows differ"):
        oracle().check_answer(Answer(publication, {}))


def test_what_was_certified_has_all_that_kafka_had_acknowledged_when_it_was_asked() -> None:
    publication, later = served("one")[INTERVAL.id], ASKED_AT + timedelta(microseconds=1)
    answer = Answer(publication, {("A", DAY): RIGHT})
    assert oracle(ASKED_AT, ASKED_AT, later).check_answer(answer) == 1
    with pytest.raises(AssertionError, match=r"Kafka had acknowledged 1 records beyond it .*\(0, 2\)"):
        oracle(ASKED_AT, ASKED_AT, ASKED_AT).check_answer(answer)
    told = replace(publication, certificate=publication.certificate | {"partial": ["not all is archived"]})
    assert oracle(ASKED_AT, ASKED_AT, ASKED_AT).check_answer(replace(answer, publication=told)) == 1
    early = INTERVAL.end.isoformat()
    told = replace(publication, certificate=publication.certificate | {"kafka_end_at": early})
    with pytest.raises(AssertionError, match="certified at"):
        oracle().check_answer(replace(answer, publication=told))


def test_windows_tell_when_the_storage_was_disturbed() -> None:
    windows = Windows()
    windows.open()
    assert windows.overlap(0, float("inf"))
    windows.close()
    assert not windows.overlap(float("inf"), float("inf"))

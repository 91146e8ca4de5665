"""What `explain` and `late` say, derived without Spark, agrees with what the run found in Spark."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from pyspark.sql import SparkSession

from jobs.errors import MillraceError, UsageError
from jobs.interval import Interval
from jobs.lake import Lake
from millrace.environment import Environment
from millrace.lake.explain import COUNTED, Explanation, explain, newest_result
from millrace.lake.late import LateEvents, late_events
from tests.oracle.arrivals import Arrival
from tests.parity.layer_runs import VERSION, LayerRuns

pytestmark = pytest.mark.stack

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FRIDAY = Interval.of(NOON, timedelta(days=1))


def tick(minutes: float, price: int = 1, symbol: str = "A") -> Arrival:
    moment = NOON + timedelta(minutes=minutes)
    text = f'{{"symbol":"{symbol}","event_time":"{moment.isoformat()}","price":{price},"volume":1}}'
    return Arrival(text.encode(), moment, 0)


@pytest.fixture
def run(spark: SparkSession, environment: Environment, lake: Lake) -> LayerRuns:
    return LayerRuns(spark, environment, lake)


def reprocessed(run: LayerRuns, raw_version: int) -> None:
    """Reprocesses Friday and writes down what the driver writes down."""
    (result,) = run.reprocess([NOON], raw_version)
    run.note_result(FRIDAY, result, raw_version)


def test_the_records_behind_a_key_say_who_counted_them(
    run: LayerRuns, spark: SparkSession, environment: Environment, lake: Lake
) -> None:
    here = replace(environment, lake=lake.root)

    def explained(minute: str) -> Explanation:
        return explain(here, run.pipeline, FRIDAY, {"symbol": "A", "window_start": f"2026-11-20T{minute}"}, VERSION)

    with pytest.raises(MillraceError, match="has never been reprocessed under version v1"):
        newest_result(here, run.pipeline, FRIDAY, VERSION)
    run.stream([[tick(0), tick(0, symbol="B"), tick(1)], [tick(10)], [tick(0.5, price=9)]])
    run.produce([tick(1.5), tick(12)])
    reprocessed(run, run.archive())
    run.produce([tick(0.75)])
    run.archive()

    late = explained("12:00")
    assert [(record.offset, record.batch, record.speed) for record in late.records] == [
        (0, COUNTED, COUNTED),
        (4, COUNTED, "late"),
        (7, "arrived after the run", "not yet read"),
    ]
    assert late.batch is not None
    assert late.speed is not None
    assert (late.batch["count"], late.speed["count"], late.batch["high"], late.speed["high"]) == (2, 1, 9, 1)
    (_, dropped, _) = late.records
    assert dropped.read is not None
    assert dropped.read.late_watermark == NOON + timedelta(minutes=8)
    assert [record.speed for record in explained("12:01").records] == [COUNTED, "not yet read"]
    assert explained("12:12").speed is None
    assert explained("12:30").records == []
    windows = newest_result(here, run.pipeline, FRIDAY, VERSION)["late"]["windows"]
    assert late_events(here, run.pipeline, FRIDAY, VERSION) == LateEvents(1, {NOON: 1}, {dropped.read.batch_id: 1})
    assert windows == [[NOON.isoformat(), 1]]
    causes = {found["key"]["window_start"][11:16]: found["cause"] for found in _differences(here, run)}
    assert causes == {"12:00": "late", "12:01": "not yet read", "12:12": "not yet read"}

    with pytest.raises(UsageError, match=r"give every column of it, as in symbol=… window_start=…"):
        explain(here, run.pipeline, FRIDAY, {"symbol": "A"}, VERSION)


def _differences(environment: Environment, run: LayerRuns) -> list[dict[str, dict[str, str]]]:
    result = newest_result(environment, run.pipeline, FRIDAY, VERSION)
    found: list[dict[str, dict[str, str]]] = result["parity"]["differences"]
    return found

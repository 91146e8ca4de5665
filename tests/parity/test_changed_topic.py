"""A field is declared later: each version answers by its own decoder, in both layers, whatever the archive had."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import DataFrame, SparkSession

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.speed import newest_rows
from jobs.tables import read_table
from jobs.topic import Field
from millrace.environment import Environment
from millrace.lake.explain import explain
from millrace.lake.late import late_events
from millrace.lake.served import served_intervals
from millrace.lake.serving import begin_serving
from millrace.lake.view import read_view
from tests.oracle.arrivals import Arrival
from tests.oracle.high_low import high_low
from tests.oracle.ticks import Sent, read_tick
from tests.parity.layer_runs import LayerRuns

pytestmark = [pytest.mark.release, pytest.mark.stack]

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
FRIDAY = Interval.of(NOON, timedelta(days=1))
MINUTE = timedelta(minutes=1)


def tick(minutes: float, volume: int | None = 1, venue: str | None = None) -> Arrival:
    moment = NOON + minutes * MINUTE
    fields = {"symbol": "A", "event_time": moment.isoformat(), "price": 1, "volume": volume, "venue": venue}
    return Arrival(json.dumps({name: value for name, value in fields.items() if value is not None}).encode(), moment, 0)


def changed(pipeline: Pipeline) -> Pipeline:
    """With the venue of each price; one without a volume is no dead letter any more."""
    fields = (*(replace(each, required=each.name != "volume") for each in pipeline.topic.fields),)
    topic = replace(pipeline.topic, fields=(*fields, Field("venue", "string", required=False)))
    return replace(
        pipeline, topic=topic, transform="tests.parity.changed_transforms:with_venue", key=("symbol", "window_start")
    )


def venues(sent: list[Sent]) -> dict[datetime, tuple[str | None, int]]:
    """Per minute the last venue by its name, and how many prices: what `with_venue` should say, in plain Python."""
    found: dict[datetime, list[str | None]] = {}
    for event in (json.loads(one.value) for one in sent):
        minute = datetime.fromisoformat(event["event_time"]).replace(second=0, microsecond=0)
        found.setdefault(minute, []).append(event.get("venue"))
    return {
        minute: (max((name for name in names if name), default=None), len(names)) for minute, names in found.items()
    }


def by_minute(rows: DataFrame) -> dict[datetime, tuple[str | None, int]]:
    found = rows.select("window_start", "venue", "count").collect()
    return {row[0].astimezone(UTC): (row[1], row[2]) for row in found}


def agrees(result: dict[str, Any], rows: int) -> bool:
    parity = result["parity"]
    return (parity["equal"], parity["different"], parity["only_batch"], parity["only_speed"]) == (rows, 0, 0, 0)


def test_each_version_answers_by_its_own_decoder_on_both_sides_of_the_archives_change(
    spark: SparkSession, environment: Environment, lake: Lake
) -> None:
    run, here = LayerRuns(spark, environment, lake), replace(environment, lake=lake.root)
    before = [tick(0, venue="XETR"), tick(0.5), tick(1, volume=None, venue="XNYS"), tick(1.5, venue="XLON")]
    sent = run.stream([before])
    run.archive()
    first = run.pipeline
    run.pipeline = pipeline = changed(first)
    sent += run.stream([[tick(1.7, volume=None, venue="XPAR"), tick(2, venue="XETR")]], version="v2")
    newest = run.archive()

    (result,) = run.reprocess([NOON], newest, version="v2")
    assert agrees(result, rows=3), result["parity"]
    # Of the six, the archive has three by the earlier decoder and two by the later, since its restart.
    assert (result["rows_read"], result["rows_archived"]) == (6, 5)
    assert by_minute(newest_rows(run.speed_log("v2"), pipeline)) == venues(sent)
    batch = read_table(spark, run.lake.batch(pipeline.name)).where(f"_run LIKE 'v2-{newest}-%'")
    assert by_minute(batch) == venues(sent)

    late = {name: late_events(here, each, FRIDAY, name) for name, each in (("v2", pipeline), ("v1", first))}
    assert {name: found and found.read_otherwise for name, found in late.items()} == {"v2": 4, "v1": 2}
    begin_serving(here, pipeline, "v2", "a test")
    (served,) = served_intervals(here, pipeline, read_view(here, pipeline))
    assert (served["layer"], served["version"], served["late"]) == ("speed", "v2", None), "not known exactly"
    run.note_result(FRIDAY, result, newest, "v2")
    explained = explain(here, pipeline, FRIDAY, {"symbol": "A", "window_start": "2026-11-20T12:01"}, "v2")
    assert [record.offset for record in explained.records] == [3, 4], "what the archive has of three"
    assert explained.read_otherwise == 4

    run.pipeline = first  # the version that is still served: its stream goes on, its nights too
    run.stream([])
    (result,) = run.reprocess([NOON], newest)
    expected = high_low([found for found in map(read_tick, sent) if found])
    assert agrees(result, rows=3), result["parity"]
    assert (result["rows_read"], result["rows_archived"]) == (4, 5)
    assert run.speed_rows() == expected

"""From a published day to a repaired one: its dead letters decoded after all, and a day without any event."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from pyspark.sql import SparkSession
from pyspark.sql import functions as F

from jobs.checkpoint import Checkpoint
from jobs.interval import Interval
from jobs.lake import Lake, speed_query
from jobs.lake_files import LakeFiles
from jobs.redecode import redecode
from jobs.update_log import UpdateLog
from millrace.environment import Environment
from millrace.lake.certificate import certify
from millrace.lake.pending_late import look_back, overdue, pending_late
from millrace.lake.published import Publication, publications, publish
from millrace.lake.served import served_intervals
from millrace.lake.speed_removal import as_compared, remove_speed_rows
from millrace.lake.view import read_view
from tests.end_to_end.topic_oracle import high_low, read_topic, view_rows
from tests.oracle.arrivals import Arrival
from tests.parity.layer_runs import VERSION, LayerRuns

pytestmark = [pytest.mark.release, pytest.mark.stack]

DAY, MINUTE = timedelta(days=1), timedelta(minutes=1)
NOON = datetime.now(UTC).replace(hour=12, minute=0, second=0, microsecond=0) - 4 * DAY


def day(number: int) -> Interval:
    return Interval.of(NOON + number * DAY, DAY)


def tick(minutes: float, price: int = 1, of_day: int = 0, padding: int = 0) -> Arrival:
    moment = NOON + of_day * DAY + minutes * MINUTE
    text = f'{{"symbol":"A","event_time":"{moment.isoformat()}","price":{price},"volume":1}}'
    return Arrival(text.encode() + b" " * padding, moment, 0)


class Served(LayerRuns):
    """Both layers, and what Airflow's steps do with a run's result."""

    def __init__(self, spark: SparkSession, environment: Environment, lake: Lake) -> None:
        super().__init__(spark, environment, lake)
        self.here = dataclasses.replace(environment, lake=lake.root)

    def run_day(self, which: Interval) -> dict[str, Any]:
        """Certifies, reprocesses, compares and publishes."""
        proven = certify(self.here, self.pipeline.topic, which, wait=timedelta(0))
        assert proven.partial == []
        (found,) = self.reprocess([which.start], proven.raw_version)
        run = f"{VERSION}-{proven.raw_version}-{which.id}"
        result = as_compared(self.here, self.pipeline.name, which.id, {"version": VERSION, **found})
        assert publish(self.here, self.pipeline, which, run=run, version=VERSION, certificate=proven, result=result)
        return result

    def published(self) -> dict[Interval, Publication]:
        return {each.interval: each for each in publications(self.here, self.pipeline)}

    def pending(self) -> dict[str, int]:
        return pending_late(self.here, self.pipeline, list(self.published().values()))

    def to_repair(self) -> dict[Interval, int]:
        return overdue(self.here, look_back(self.here, self.pipeline), datetime.now(UTC), timedelta(days=7))[0]

    def replay_newest(self, spark: SparkSession) -> None:
        """The newest micro-batch once more, as a driver writes it that was killed before it could note it."""
        files, uri = LakeFiles(spark), self.lake.speed(self.pipeline.name)
        before = self.speed_log()
        (newest,) = before.agg(F.max("_batch_id")).first() or (None,)
        count, rows = before.count(), before.where(F.col("_batch_id") == newest).drop("_batch_id", "_version")
        checkpoint = self.lake.checkpoint(speed_query(self.pipeline.name), VERSION)
        UpdateLog(Checkpoint(files, checkpoint), uri, VERSION).append(rows, newest)
        assert self.speed_log().count() == count > 0

    def layers(self) -> list[tuple[str, str, int, bool]]:
        shown = served_intervals(self.here, self.pipeline, read_view(self.here, self.pipeline))
        return [(each["interval"], each["layer"], each["rows"], each["partial"]) for each in shown]


@pytest.fixture
def run(spark: SparkSession, environment: Environment, lake: Lake) -> Served:
    return Served(spark, environment, lake)


def test_a_record_that_is_decoded_after_all_is_pending_until_its_day_is_repaired(
    run: Served, spark: SparkSession
) -> None:
    strict = run.pipeline.topic
    run.stream([[tick(0), tick(0.5, price=9, padding=strict.max_value_bytes)], [tick(5), tick(0, of_day=1)]])
    run.archive()
    first = run.run_day(day(0))
    assert (first["rows_read"], first["dead_letters"]) == (2, 1)
    assert run.pending() == {day(0).id: 0}

    wider = dataclasses.replace(strict, max_value_bytes=2 * strict.max_value_bytes)
    assert redecode(spark, wider, run.lake, "r")["moved"] == 1
    assert run.pending() == {day(0).id: 1}
    assert run.to_repair() == {day(0): 1}
    served = view_rows(read_view(run.here, run.pipeline))
    assert served[("A", NOON)]["count"] == 1, "nothing changes before the repair"

    repaired = run.run_day(day(0))
    assert repaired["parity"]["causes"] == {"redecoded": 1}
    assert (repaired["rows_read"], repaired["dead_letters"]) == (3, 0)
    assert (run.pending(), run.to_repair()) == ({day(0).id: 0}, {})
    records = read_topic(run.here.kafka_bootstrap, strict.name)
    expected = high_low([each._replace(value=(each.value or b"").strip()) for each in records])
    assert view_rows(read_view(run.here, run.pipeline)) == expected
    assert expected[("A", NOON)]["count"] == 2


def test_a_day_without_events_is_published_with_its_certificate_and_repaired_when_one_comes(run: Served) -> None:
    run.stream([[tick(0), tick(0, of_day=2)]])
    run.archive()
    empty = run.run_day(day(1))
    assert {name: empty[name] for name in ("rows_read", "rows_written", "dead_letters")} == {
        "rows_read": 0,
        "rows_written": 0,
        "dead_letters": 0,
    }
    certificate = run.published()[day(1)].certificate
    assert certificate["partial"] == []
    assert certificate["coverage"]["0"] == certificate["kafka_end"]["0"] == 2
    assert run.layers() == [
        (day(0).id, "speed", 1, False),
        (day(1).id, "batch", 0, False),
        (day(2).id, "speed", 1, False),
    ]
    assert run.pending() == {day(1).id: 0}

    run.stream([[tick(3, of_day=1)]])  # days after its window was closed
    run.archive()
    assert run.layers()[1] == (day(1).id, "batch", 0, False), "what is late is not served before it is repaired"
    assert run.to_repair() == {day(1): 1}
    assert run.run_day(day(1))["parity"]["causes"] == {"late": 1}
    assert run.layers()[1] == (day(1).id, "batch", 1, False)
    assert run.pending() == {day(1).id: 0}
    expected = high_low(read_topic(run.here.kafka_bootstrap, run.pipeline.topic.name))
    assert view_rows(read_view(run.here, run.pipeline)) == expected


def test_a_day_whose_speed_rows_were_removed_is_repaired_while_the_stream_goes_on(
    run: Served, spark: SparkSession
) -> None:
    run.stream([[tick(0)], [tick(0, of_day=1)], [tick(0, of_day=2)]])
    run.archive()
    for number in range(2):
        run.run_day(day(number))
    query = run.start()
    try:
        run.produce([tick(1, of_day=2)])
        query.processAllAvailable()
        assert remove_speed_rows(run.here, run.pipeline, day(0).end) == [day(0)]
        run.produce([tick(2, of_day=2), tick(3)])  # the latter is late by two days
        query.processAllAvailable()
    finally:
        query.stop()
    assert {row["_interval"] for row in run.speed_log().collect()} == {day(1).id, day(2).id}
    run.replay_newest(spark)
    expected = high_low(read_topic(run.here.kafka_bootstrap, run.pipeline.topic.name))

    run.archive()
    assert run.to_repair() == {day(0): 1}
    run.run_day(day(0))
    assert view_rows(read_view(run.here, run.pipeline)) == expected
    assert run.published()[day(0)].result["parity"] is None
    assert run.published()[day(0)].result["speed_removed"]

"""Events that came after an interval's run read the archive: how many there are, exactly, and what counting reads."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.archive import to_raw
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.reprocess import reprocess
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.pending_late import look_back, overdue, pending_late
from millrace.lake.published import Publication, publications, publish
from millrace.lake.served import served_intervals
from millrace.lake.view import read_view
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_speed
from tests.plugins.lake.raw_rows import (
    archive,
    at,
    delete_data,
    forget_statistics,
    local_environment,
    publication,
    publish_read,
    raw_folder,
)

DAY, HOUR = timedelta(days=1), timedelta(hours=1)
DAILY, HOURLY = stock_high_low, replace(stock_high_low, interval=HOUR)
RECORD = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, topic string, partition int,"
    " offset long, timestamp timestamp, timestampType int"
)


@pytest.fixture
def environment_here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


def pending(environment: Environment, pipeline=DAILY) -> dict[str, int]:
    return pending_late(environment, pipeline, publications(environment, pipeline))


def day(text: str) -> Interval:
    return Interval.parse(text, DAY)


def hour(text: str) -> Interval:
    return Interval.parse(text, HOUR)


def test_without_publications_nothing_is_pending_and_no_archive_is_needed(environment_here: Environment) -> None:
    assert pending(environment_here) == {}


def test_an_event_that_comes_after_the_run_is_pending_until_another_run_has_read_it(
    environment_here: Environment,
) -> None:
    archive(environment_here, "2026-11-19T08:00", "2026-11-19T09:00", "2026-11-20T09:00", None)
    publish_read(environment_here, DAILY, day("2026-11-19"), 2)
    publish_read(environment_here, DAILY, day("2026-11-20"), 1)
    assert pending(environment_here) == {"20261119T000000Z": 0, "20261120T000000Z": 0}
    archive(environment_here, "2026-11-19T23:00", "2026-11-19T08:00", None)
    assert pending(environment_here) == {"20261119T000000Z": 2, "20261120T000000Z": 0}
    assert publish_read(environment_here, DAILY, day("2026-11-19"), 4)
    assert pending(environment_here) == {"20261119T000000Z": 0, "20261120T000000Z": 0}


EDGES = ("2028-02-28T23:59:59.999999", "2028-02-29T00:00", "2028-02-29T23:59:59.999999", "2028-03-01T00:00")


def test_a_leap_day_begins_and_ends_at_its_midnights(environment_here: Environment) -> None:
    archive(environment_here, *EDGES)
    for text in ("2028-02-28", "2028-02-29", "2028-03-01"):
        publish_read(environment_here, DAILY, day(text), 0)
    assert pending(environment_here) == {"20280228T000000Z": 1, "20280229T000000Z": 2, "20280301T000000Z": 1}


def test_an_hour_begins_at_its_start_and_ends_before_its_end(environment_here: Environment) -> None:
    archive(environment_here, *EDGES, "2028-02-29T00:59:59.999999", "2028-02-29T01:00")
    for text in ("2028-02-28T23:00", "2028-02-29T00:00", "2028-02-29T01:00", "2028-02-29T23:00", "2028-03-01T00:00"):
        publish_read(environment_here, HOURLY, hour(text), 0)
    assert pending(environment_here, HOURLY) == {
        "20280228T230000Z": 1,
        "20280229T000000Z": 2,
        "20280229T010000Z": 1,
        "20280229T230000Z": 1,
        "20280301T000000Z": 1,
    }


@pytest.mark.parametrize(("pipeline", "length"), [(DAILY, DAY), (HOURLY, HOUR)])
def test_an_interval_that_was_empty_may_get_its_first_event_late(
    environment_here: Environment, pipeline, length: timedelta
) -> None:
    archive(environment_here, "2026-11-18T12:00", None)
    empty = Interval.parse("2026-11-19", length)
    publish_read(environment_here, pipeline, empty, 0)
    assert pending(environment_here, pipeline) == {empty.id: 0}
    archive(environment_here, "2026-11-19T00:30")
    assert pending(environment_here, pipeline) == {empty.id: 1}


def test_an_archive_that_is_still_empty_has_nothing_late(environment_here: Environment) -> None:
    archive(environment_here)
    publish_read(environment_here, DAILY, day("2026-11-19"), 0)
    publish_read(environment_here, HOURLY, hour("2026-11-20T05:00"), 0)
    assert pending(environment_here) == {"20261119T000000Z": 0, "20261120T050000Z": 0}


def test_a_day_whose_files_the_log_does_not_count_is_counted_all_the_same(environment_here: Environment) -> None:
    archive(environment_here, "2026-11-18T12:00", "2026-11-19T12:00")
    archive(environment_here, "2026-11-19T13:00", "2026-11-19T14:00")
    assert forget_statistics(environment_here, "2026-11-19") == 2
    publish_read(environment_here, DAILY, day("2026-11-18"), 1)
    publish_read(environment_here, DAILY, day("2026-11-19"), 1)
    assert pending(environment_here) == {"20261118T000000Z": 0, "20261119T000000Z": 2}


def test_whole_days_are_counted_without_reading_a_single_event(environment_here: Environment) -> None:
    archive(environment_here, "2026-11-18T12:00", "2026-11-19T12:00", "2026-11-19T13:00")
    publish_read(environment_here, DAILY, day("2026-11-18"), 1)
    publish_read(environment_here, DAILY, day("2026-11-19"), 1)
    delete_data(environment_here, ["2026-11-18", "2026-11-19"])
    assert not list(raw_folder(environment_here).glob("event_date=2026*/*.parquet"))
    assert pending(environment_here) == {"20261118T000000Z": 0, "20261119T000000Z": 1}


def hours_of(text: str) -> list[Publication]:
    """Every hour of a day, none of which had read an event but the one of noon."""
    hours = [hour(f"{text}T{number:02}:00") for number in range(24)]
    return [publication(each, int(each.start.hour == 12)) for each in hours]


def test_of_hourly_intervals_only_the_days_with_something_new_are_read(environment_here: Environment) -> None:
    archive(environment_here, "2026-11-18T12:00", "2026-11-19T12:00")
    served = [*hours_of("2026-11-18"), *hours_of("2026-11-19")]
    archive(environment_here, "2026-11-19T05:00", "2026-11-19T05:30")
    delete_data(environment_here, ["2026-11-18"])
    expected = {each.interval.id: 0 for each in served} | {"20261119T050000Z": 2}
    assert pending_late(environment_here, HOURLY, served) == expected
    delete_data(environment_here, ["2026-11-19"])
    with pytest.raises(Exception, match="2026-11-19"):
        pending_late(environment_here, HOURLY, served)


def test_events_that_the_archive_has_lost_are_a_negative_number(environment_here: Environment) -> None:
    archive(environment_here, "2026-11-19T12:00")
    publish_read(environment_here, DAILY, day("2026-11-19"), 3)
    assert pending(environment_here) == {"20261119T000000Z": -2}


MOMENTS = st.integers(0, 4 * 96).map(lambda quarter: at("2028-02-28") + quarter * timedelta(minutes=15))
LENGTHS = st.sampled_from([HOUR, timedelta(hours=8), DAY, 2 * DAY])


@given(st.lists(MOMENTS), st.lists(MOMENTS), LENGTHS, st.sets(MOMENTS))
@settings(max_examples=25)
def test_any_events_and_any_published_intervals_give_what_plain_counting_gives(
    before: list[datetime], after: list[datetime], length: timedelta, chosen: set[datetime]
) -> None:
    pipeline = replace(stock_high_low, interval=length)
    with tempfile.TemporaryDirectory() as folder:
        environment = local_environment(Path(folder))
        archive(environment, *before)
        archive(environment, *after)
        intervals = {Interval.of(moment, length) for moment in chosen}
        served = [publication(each, inside(each, before)) for each in intervals]
        expected = {each.id: inside(each, after) for each in intervals}
        assert pending_late(environment, pipeline, served) == expected


def inside(interval: Interval, moments: list[datetime]) -> int:
    return sum(interval.start <= moment < interval.end for moment in moments)


def test_what_is_to_be_repaired_ended_within_the_look_back(environment_here: Environment) -> None:
    days = [day(f"2026-11-{number}") for number in (10, 11, 12, 18, 19, 20)]
    archive(environment_here, *(each.start for each in days))
    for each in days:
        publish_read(environment_here, DAILY, each, int(each.start.day == 18))
    recent, older = overdue(
        environment_here, look_back(environment_here, DAILY), at("2026-11-20T00:00"), timedelta(days=7)
    )
    assert {each.start.day: count for each, count in recent.items()} == {12: 1, 19: 1}
    assert {each.start.day: count for each, count in older.items()} == {10: 1, 11: 1}


def test_the_view_tells_what_is_pending_of_published_intervals_alone(own_lake: Environment) -> None:
    archive(own_lake, *[interval(0).start] * 5, *[interval(1).start] * 2)
    write_batch(own_lake, interval(0), "run-a", high=1)
    write_speed(own_lake, interval(1), batch_id=1, high=1, version="v1")
    publish(
        own_lake,
        DAILY,
        interval(0),
        run="run-a",
        version="v1",
        certificate=certificate(0),
        result={"rows_read": 3},
    )
    shown = served_intervals(own_lake, DAILY, read_view(own_lake, DAILY))
    assert [(entry["interval"], entry["layer"], entry["pending_late"]) for entry in shown] == [
        (interval(0).id, "batch", 2),
        (interval(1).id, "speed", None),
    ]


def spark_archive(spark, lake: Lake, *values: bytes) -> None:
    """As the archive query writes them: received at noon of 2028-02-29."""
    rows = [
        (b"k", bytearray(value), None, "stock_ticks", 0, offset, at("2028-02-29T12:00"), 0)
        for offset, value in enumerate(values)
    ]
    records = to_raw(spark.createDataFrame(rows, RECORD), stock_ticks)
    records.coalesce(1).write.format("delta").mode("append").partitionBy("event_date").save(lake.raw("stock_ticks"))


def tick(text: str, price: float = 1.0) -> bytes:
    return f'{{"symbol":"A","event_time":"2028-{text}Z","price":{price},"volume":1}}'.encode()


@pytest.fixture
def spark_environment(environment_here: Environment, local_lake: Lake) -> Environment:
    return replace(environment_here, lake=local_lake.root)


@pytest.mark.parametrize("pipeline", [DAILY, HOURLY], ids=["daily", "hourly"])
def test_what_spark_reads_and_what_is_counted_here_are_the_same_events(
    spark, local_lake: Lake, spark_environment: Environment, pipeline
) -> None:
    """To the microsecond, though Spark cuts its statistics of times to milliseconds."""
    whole = Interval.parse("2028-02-29", pipeline.interval)
    last = whole.end - timedelta(microseconds=1)
    edges = [tick(f"{moment:%m-%dT%H:%M:%S.%f}") for moment in (whole.start, last, whole.end)]
    spark_archive(spark, local_lake, *edges, tick("02-28T23:59:59.999999"), b"garbage")
    assert run_and_publish(spark, local_lake, spark_environment, pipeline, whole, "r1")["rows_read"] == 2
    assert pending(spark_environment, pipeline) == {whole.id: 0}
    spark_archive(spark, local_lake, *edges)
    assert pending(spark_environment, pipeline) == {whole.id: 2}
    assert run_and_publish(spark, local_lake, spark_environment, pipeline, whole, "r2")["rows_read"] == 4
    assert pending(spark_environment, pipeline) == {whole.id: 0}


def run_and_publish(spark, lake: Lake, environment: Environment, pipeline, whole: Interval, run: str) -> dict:
    raw_version = spark.sql(f"DESCRIBE HISTORY delta.`{lake.raw('stock_ticks')}`").count() - 1
    result = reprocess(spark, pipeline, whole, lake, run, "v1", raw_version, {})
    told = {"run": run, "version": "v1", "certificate": certificate(raw_version), "result": result}
    assert publish(environment, pipeline, whole, **told)
    return result


def test_rows_behind_a_deletion_vector_are_not_counted(spark, local_lake: Lake, spark_environment: Environment) -> None:
    spark_archive(spark, local_lake, *(tick(f"02-29T00:00:0{second}", second) for second in range(5)))
    table = f"delta.`{local_lake.raw('stock_ticks')}`"
    spark.sql(f"ALTER TABLE {table} SET TBLPROPERTIES ('delta.enableDeletionVectors' = 'true')")
    spark.sql(f"DELETE FROM {table} WHERE event.price >= 3")
    spark_log = raw_folder(spark_environment) / "_delta_log"
    assert any('"deletionVector"' in log.read_text() for log in spark_log.glob("*.json"))
    publish_read(spark_environment, DAILY, Interval.parse("2028-02-29", DAY), 1)
    assert pending(spark_environment) == {"20280229T000000Z": 2}

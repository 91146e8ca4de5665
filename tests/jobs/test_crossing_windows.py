"""A run of one interval reads as far as the rows need whose windows and sessions cross its edges: on both engines."""

from __future__ import annotations

import dataclasses
from datetime import datetime, timedelta, timezone

import pytest

from jobs.archive import to_raw
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.reprocess import reprocess
from jobs.tables import read_table
from jobs.topics import stock_ticks
from tests.oracle.ticks import Sent, read_tick
from tests.oracle.windowed import bursts, volumes
from tests.parity.windowed import by_end, by_start, in_bursts

MINUTE, HOUR, MICRO = timedelta(minutes=1), timedelta(hours=1), timedelta(microseconds=1)
NOON = datetime(2028, 2, 29, 12, tzinfo=timezone.utc)
RECORD = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, topic string, partition int,"
    " offset long, timestamp timestamp, timestampType int"
)
# On and beside the edges of hours, of windows and of each other's reach.
MOMENTS = [
    NOON + minutes * MINUTE + micros * MICRO
    for minutes, micros in (
        (-10, 0),
        (-5, 0),
        (-2, -1),
        (0, -1),
        (0, 0),
        (4, 0),
        (9, 1),
        (50, 0),
        (58, 0),
        (60, 0),
        (64, 59),
    )
]


def hourly(pipeline):
    return dataclasses.replace(pipeline, interval=HOUR)


def sent(moments):
    text = '{{"symbol":"A","event_time":"{}","price":{},"volume":1}}'
    values = [text.format(moment.isoformat(timespec="microseconds"), at).encode() for at, moment in enumerate(moments)]
    return [Sent(value, NOON, 0, offset) for offset, value in enumerate(values)]


@pytest.fixture
def archived(spark, local_lake):
    """Archives one tick at each moment; gives the ticks."""

    def archive(moments):
        records = sent(moments)
        rows = [(b"k", bytearray(r.value), None, "stock_ticks", r.partition, r.offset, r.timestamp, 0) for r in records]
        raw = to_raw(spark.createDataFrame(rows, RECORD), stock_ticks)
        raw.write.format("delta").partitionBy("event_date").save(local_lake.raw("stock_ticks"))
        return [read_tick(record) for record in records]

    return archive


@pytest.fixture
def run(spark, local_lake):
    return lambda pipeline, interval: reprocess(spark, pipeline, interval, local_lake, interval.id, "v1", 0, {0: 99})


def rows(spark, lake, pipeline):
    found = read_table(spark, lake.batch(pipeline.name)).orderBy(pipeline.row_time)
    start = next(name for name in found.columns if name.endswith("_start"))
    end = start.replace("start", "end")
    plain = {
        (row["symbol"], row[start].astimezone(timezone.utc)): (
            row[end].astimezone(timezone.utc),
            row["volume"],
            str(row["close"]),
            row["count"],
        )
        for row in found.collect()
    }
    assert len(plain) == found.count()
    return plain


@pytest.mark.parametrize(
    "pipeline",
    [
        pytest.param(hourly(by_start), id=by_start.name),
        pytest.param(hourly(by_end), id=by_end.name, marks=pytest.mark.both_engines),
        pytest.param(hourly(in_bursts), id=in_bursts.name, marks=pytest.mark.both_engines),
    ],
)
def test_each_row_is_whole_and_in_one_interval(spark, local_lake, archived, run, pipeline):
    ticks = archived(MOMENTS)
    right = bursts(ticks) if pipeline.name == "bursts" else volumes(ticks)
    hours = [Interval.of(NOON + number * HOUR, HOUR) for number in range(-1, 3)]
    results = [run(pipeline, hour) for hour in hours]
    assert rows(spark, local_lake, pipeline) == right
    for hour, result in zip(hours, results):
        reads = pipeline.reads(hour)
        assert result["rows_read"] == sum(reads.start <= moment < reads.end for moment in MOMENTS)
        assert result["rows_by_day"] == {"2028-02-29": len(MOMENTS)}
    empty = run(pipeline, Interval.of(NOON + 9 * HOUR, HOUR))
    assert (empty["rows_read"], empty["rows_written"]) == (0, 0)


@pytest.mark.both_engines
def test_a_session_that_goes_on_to_where_a_run_stops_reading_is_refused_not_cut(archived, run):
    # Until 12:30 is read. The session of the hour before ends there exactly, so that an event then would belong to it.
    pipeline = hourly(in_bursts)
    archived([NOON + minutes * MINUTE for minutes in range(-5, 26, 5)])
    with pytest.raises(UsageError) as refused:
        run(pipeline, Interval.of(NOON - HOUR, HOUR))
    assert "interval 20280229T110000Z: the session symbol=A, session_start=2028-02-29T11:55:00+00:00" in str(
        refused.value
    )
    assert "2028-02-29 12:30:00 UTC, 0:30:00 after the interval's end" in str(refused.value)
    assert run(pipeline, Interval.of(NOON, HOUR))["rows_written"] == 0

"""The same transformation on a stream and on the archive gives the same rows, on both engines: no Kafka here.

A stream of files stands in for the topic; `tests/parity` does it with the real one.
"""

from __future__ import annotations

import dataclasses
import itertools
from datetime import datetime, timedelta, timezone
from pathlib import Path

import pytest
from hypothesis import given, settings
from pyspark.sql import functions as F

from jobs.decode import decode
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.layers import interval_of, transform_events
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from tests.oracle.arrivals import batches
from tests.oracle.high_low import HighLow, high_low
from tests.oracle.ticks import Sent, read_tick

pytestmark = pytest.mark.both_engines

RECORD = "value binary, timestamp timestamp, partition int, offset long"
_numbers = itertools.count()


@settings(max_examples=3)
@given(arrivals=batches(count=3, size=25))
def test_stream_and_batch_equal_plain_python(spark, tmp_path, arrivals):
    folder = tmp_path / str(next(_numbers))
    sent = _numbered(arrivals)
    ticks = [tick for tick in map(read_tick, itertools.chain(*sent)) if tick]
    right = high_low(ticks)
    assert _streamed(spark, sent, folder) == right
    assert _rows(transform_events(decode(_frame(spark, itertools.chain(*sent)), stock_ticks), stock_high_low)) == right


def test_a_transformation_that_lacks_a_declared_column_is_refused(spark):
    broken = dataclasses.replace(stock_high_low, key=("symbol", "minute"))
    with pytest.raises(UsageError, match=r"gives no column 'minute' .*key and row_time must be among them"):
        transform_events(decode(_frame(spark, []), stock_ticks), broken)


@pytest.mark.parametrize("hours", [1, 6, 24, 48])
def test_a_row_lies_in_the_interval_that_python_says(spark, hours):
    length = timedelta(hours=hours)
    moments = [datetime(2026, 11, 20, 23, 59, 59, 999999), datetime(2026, 11, 21), datetime(2028, 2, 29, 12)]
    moments = [moment.replace(tzinfo=timezone.utc) for moment in [*moments, datetime(1969, 12, 31, 23, 59)]]
    frame = spark.createDataFrame([(moment,) for moment in moments], "window_start timestamp")
    ids = frame.select(interval_of(dataclasses.replace(stock_high_low, interval=length)).alias("id"))
    assert [row["id"] for row in ids.collect()] == [Interval.of(moment, length).id for moment in moments]


def _numbered(arrivals):
    """With offsets, as Kafka would give them."""
    offsets = [itertools.count() for _ in range(3)]
    return [[Sent(a.value, a.timestamp, a.partition, next(offsets[a.partition])) for a in batch] for batch in arrivals]


def _frame(spark, sent):
    rows = [(s.value if s.value is None else bytearray(s.value), *s[1:]) for s in sent]
    return spark.createDataFrame(rows, RECORD)


def _streamed(spark, sent, folder: Path):
    """The newest row of each key after a stream has taken one batch after the other."""
    newest = {}

    def keep(batch, _):
        newest.update(_rows(batch))

    for number, batch in enumerate(sent):
        _frame(spark, batch).coalesce(1).write.parquet(str(folder / "staged" / str(number)))
    records = spark.readStream.schema(RECORD).option("maxFilesPerTrigger", 1).parquet(str(folder / "staged" / "*"))
    query = (
        transform_events(decode(records, stock_ticks), stock_high_low)
        .writeStream.outputMode("update")
        .option("checkpointLocation", str(folder / "checkpoint"))
        .foreachBatch(keep)
        .trigger(availableNow=True)
        .start()
    )
    query.awaitTermination()
    with_data = [progress for progress in query.recentProgress if progress["numInputRows"]]
    assert len(with_data) == len(sent)
    return newest


def _rows(frame):
    """By key; times in UTC."""
    times = [F.col(name).cast("double").alias(name) for name in ("window_start", "window_end")]
    plain = frame.select("symbol", *times, "open", "high", "low", "close", "volume", "count")
    return {(r[0], _moment(r[1])): HighLow(_moment(r[2]), *r[3:]) for r in plain.collect()}


def _moment(seconds):
    return datetime.fromtimestamp(seconds, timezone.utc)

"""One interval from the raw archive: the right rows, once, from the needed columns alone."""

from __future__ import annotations

import dataclasses
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta, timezone
from decimal import Decimal

import pytest
from pyspark.sql import functions as F

from jobs.archive import to_raw
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.interval_events import read_events
from jobs.layers import transform_events
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.pipelines.stock_high_low.transform import high_low
from jobs.reprocess import reprocess
from jobs.tables import read_table
from jobs.topics import stock_ticks

pytestmark = pytest.mark.both_engines

DAY = timedelta(days=1)
FRIDAY = Interval.of(datetime(2026, 11, 20, tzinfo=timezone.utc), DAY)
SATURDAY = FRIDAY.following()
RECORD = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, topic string, partition int,"
    " offset long, timestamp timestamp, timestampType int"
)
LOG = (
    "symbol string, window_start timestamp, window_end timestamp, open decimal(18,4), high decimal(18,4),"
    " low decimal(18,4), close decimal(18,4), volume long, count long, _interval string, _batch_id long,"
    " _version string"
)


def tick(text, price, symbol="A"):
    return f'{{"symbol":"{symbol}","event_time":"2026-11-{text}Z","price":{price},"volume":1}}'.encode()


NO_SPEED = {"parity": None, "late": None, "speed_batch": None}
VALUES = [
    tick("20T00:00:00", 5),
    tick("20T00:00:59.999999", 7),
    tick("20T23:59:59.999999", 9),
    tick("19T23:59:59.999999", 1),  # the day before
    tick("21T00:00:00", 2),  # the day after
    b"garbage",
    None,
]


@pytest.fixture
def raw(spark, local_lake):
    """A raw archive of VALUES, all received at Friday noon, and one dead letter that was received on Saturday."""
    noon = FRIDAY.start + timedelta(hours=12)
    rows = [
        (b"k", value if value is None else bytearray(value), None, "stock_ticks", 0, offset, noon, 0)
        for offset, value in enumerate(VALUES)
    ]
    rows.append((b"k", bytearray(b"saturday's"), None, "stock_ticks", 0, len(rows), noon + DAY, 0))
    records = to_raw(spark.createDataFrame(rows, RECORD), stock_ticks)
    records.write.format("delta").partitionBy("event_date").save(local_lake.raw("stock_ticks"))
    return local_lake.raw("stock_ticks")


@pytest.fixture
def run(spark, local_lake, raw):
    return lambda name, interval=FRIDAY, pipeline=stock_high_low: reprocess(
        spark, pipeline, interval, local_lake, name, "v1", 0, {0: len(VALUES) + 1}
    )


def prices(rows):
    """(symbol, minute, open, close, count) of each row, sorted."""
    return sorted(map(_price, rows.collect()))


def _price(row):
    minute = f"{row['window_start'].astimezone(timezone.utc):%d %H:%M}"
    return (row["symbol"], minute, str(row["open"]), str(row["close"]), row["count"])


FRIDAYS = [("A", "20 00:00", "5.0000", "7.0000", 2), ("A", "20 23:59", "9.0000", "9.0000", 1)]


def test_an_interval_has_its_own_events_and_counts_what_it_read(spark, local_lake, run):
    assert run("r1") == {"rows_read": 3, "dead_letters": 2, "rows_written": 2, **NO_SPEED}
    rows = read_table(spark, local_lake.batch("stock_high_low"))
    assert prices(rows) == FRIDAYS
    assert {(row["_interval"], row["_run"]) for row in rows.collect()} == {(FRIDAY.id, "r1")}


def test_the_same_run_twice_writes_once_and_another_run_stands_beside_it(spark, local_lake, run):
    first = run("r1")
    assert run("r1") == first
    run("r2")
    rows = read_table(spark, local_lake.batch("stock_high_low"))
    assert prices(rows.where("_run = 'r1'")) == FRIDAYS
    assert prices(rows.where("_run = 'r2'")) == FRIDAYS


def test_an_interval_without_events_has_no_rows(run):
    empty = SATURDAY.following()
    assert run("r1", empty) == {"rows_read": 0, "dead_letters": 0, "rows_written": 0, **NO_SPEED}


def of_nobody(ticks):
    return high_low(ticks).withColumn("symbol", F.lit(None).cast("string"))


def copied(rows):
    """The rows of Friday's first minute, twice."""
    copies = F.when(F.minute("window_start") == 0, F.array(F.lit(1), F.lit(2))).otherwise(F.array(F.lit(1)))
    return rows.withColumn("copy", F.explode(copies)).drop("copy")


def twice(ticks):
    return copied(high_low(ticks))


def of_nobody_twice(ticks):
    return copied(of_nobody(ticks))


def by(transform):
    return dataclasses.replace(stock_high_low, transform=f"{__name__}:{transform.__name__}")


@pytest.mark.parametrize(("transform", "symbol"), [(twice, "A"), (of_nobody_twice, None)])
def test_a_key_with_several_rows_is_refused_for_the_view_would_show_them_all(run, transform, symbol):
    with pytest.raises(UsageError) as refused:
        run("r1", pipeline=by(transform))
    assert (
        f"pipeline 'stock_high_low', interval {FRIDAY.id}: the key symbol={symbol},"
        " window_start=2026-11-20T00:00:00+00:00 has 2 rows, and 2 keys have 3 together;"
    ) in str(refused.value)


def test_keys_that_hold_nulls_are_told_apart_by_their_other_columns(run):
    assert run("r1", pipeline=by(of_nobody))["rows_written"] == 2


def test_runs_at_the_same_time_do_not_disturb_each_other(spark, local_lake, run):
    """Also when none of them finds a table yet."""
    with ThreadPoolExecutor(3) as pool:
        started = [pool.submit(run, "r1"), pool.submit(run, "r2"), pool.submit(run, "r3", SATURDAY)]
    assert [future.result()["rows_written"] for future in started] == [2, 2, 1]
    rows = read_table(spark, local_lake.batch("stock_high_low"))
    assert prices(rows.where("_run = 'r1'")) == prices(rows.where("_run = 'r2'")) == FRIDAYS
    assert prices(rows.where("_run = 'r3'")) == [("A", "21 00:00", "2.0000", "2.0000", 1)]


def test_a_reprocess_reads_its_days_and_the_needed_columns_alone(spark, raw):
    events = read_events(read_table(spark, raw, 0), stock_high_low, FRIDAY).rows
    plan = transform_events(events, stock_high_low)._jdf.queryExecution().executedPlan().toString()
    (scan,) = [line for line in plan.splitlines() if "ReadSchema" in line]
    read = scan.partition("ReadSchema: ")[2]
    assert "value" not in read
    assert "headers" not in read
    assert "event:struct<" in read
    assert "jsontostructs" not in plan.lower()
    assert "from_json" not in plan.lower()
    assert "event_date" in scan.partition("PartitionFilters: ")[2].partition("]")[0]


def speed_row(minute, close, batch, version="v1", interval=FRIDAY):
    start = interval.start + timedelta(minutes=minute)
    price = Decimal(close)
    values = ("A", start, start + timedelta(minutes=1), price, price, price, price, 1, 1)
    return (*values, interval.id, batch, version)


@pytest.fixture
def speed(spark, local_lake):
    """The log of updates: appended in this order, one micro-batch after the other."""

    def append(*rows):
        log = spark.createDataFrame(list(rows), LOG)
        log.write.format("delta").mode("append").partitionBy("_interval").save(local_lake.speed("stock_high_low"))

    return append


def test_a_run_is_compared_with_what_the_speed_layer_of_its_version_says(speed, run):
    speed(speed_row(24 * 60 - 1, "9", 0), speed_row(5, "1", 0), speed_row(0, "1", 0, version="v0"))
    result = run("r1")
    parity = result["parity"]
    # Without a checkpoint nothing is known of what it read; v0 had answers.
    assert parity["causes"] == {"other code version": 1, "unexplained": 1}
    assert result["late"] == {"events": 0, "windows": []}
    assert {name: parity[name] for name in ("equal", "different", "only_batch", "only_speed")} == {
        "equal": 1,
        "different": 0,
        "only_batch": 1,
        "only_speed": 1,
    }

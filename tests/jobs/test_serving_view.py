"""The view of both layers in Spark SQL: which run and version answers for each interval, and the newest speed rows."""

from __future__ import annotations

import json
from datetime import datetime, timedelta, timezone
from decimal import Decimal
from pathlib import Path

import pytest

from jobs.accepted_losses import AcceptedLoss, LostRange
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.lake_files import LakeFiles
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.speed import newest_rows
from jobs.tables import read_table
from jobs.view import serving_view

pytestmark = pytest.mark.both_engines

DAY = timedelta(days=1)
FRIDAY = Interval.of(datetime(2026, 11, 20, tzinfo=timezone.utc), DAY)
SATURDAY = FRIDAY.following()
SUNDAY = SATURDAY.following()
ROW = (
    "symbol string, window_start timestamp, window_end timestamp, open decimal(18,4), high decimal(18,4),"
    " low decimal(18,4), close decimal(18,4), volume long, count long, _interval string"
)
PUBLISHED = (
    "pipeline string, version string, _interval string, interval_start timestamp, interval_end timestamp, run string,"
    " certificate string, result string"
)


def values(minute, close, interval):
    start, price = interval.start + timedelta(minutes=minute), Decimal(close)
    return ("A", start, start + timedelta(minutes=1), price, price, price, price, 1, 1, interval.id)


def speed_row(minute, close, batch, version="v1", interval=FRIDAY):
    return (*values(minute, close, interval), batch, version)


def batch_row(minute, close, run, interval=FRIDAY):
    return (*values(minute, close, interval), run)


def publication(run, interval=FRIDAY, pipeline="stock_high_low", certificate="{}", version="v1"):
    return (pipeline, version, interval.id, interval.start, interval.end, run, certificate, "{}")


@pytest.fixture
def write(spark):
    """Writes rows to a table: one commit."""

    def append(uri, rows, columns, *partition_by, mode="append"):
        frame = spark.createDataFrame(list(rows), columns)
        frame.write.format("delta").mode(mode).partitionBy(*partition_by).save(uri)

    return append


@pytest.fixture
def speed(write, local_lake):
    """The log of updates: appended in this order, one micro-batch after the other."""
    columns = f"{ROW}, _batch_id long, _version string"
    return lambda *rows: write(local_lake.speed("stock_high_low"), rows, columns, "_interval")


@pytest.fixture
def batch(write, local_lake):
    """Rows of runs, published or not."""
    return lambda *rows: write(local_lake.batch("stock_high_low"), rows, f"{ROW}, _run string", "_interval", "_run")


@pytest.fixture
def publish(write, local_lake):
    """All that is published from now on."""
    keys = ("pipeline", "version", "_interval")
    return lambda *rows: write(local_lake.published, rows, PUBLISHED, *keys, mode="overwrite")


@pytest.fixture
def answers(spark, local_lake):
    """Interval, minute, close, layer and version of each row of the view, sorted."""

    def read(version="v1"):
        return told(serving_view(spark, stock_high_low, local_lake, version))

    return read


def told(view):
    return sorted(map(_told, view.collect()))


def _told(row):
    minute = (row["window_start"].astimezone(timezone.utc) - Interval.parse(row["_interval"], DAY).start) // timedelta(
        minutes=1
    )
    return (row["_interval"], minute, f"{row['close']:.0f}", row["_layer"], row["_version"])


def test_the_newest_update_of_each_key_counts(spark, local_lake, speed):
    speed(speed_row(0, "1", 4), speed_row(1, "5", 4))
    speed(speed_row(0, "3", 11))
    speed(speed_row(0, "2", 7))
    rows = newest_rows(read_table(spark, local_lake.speed("stock_high_low")), stock_high_low)
    found = rows.orderBy("window_start").collect()
    assert [str(row["close"]) for row in found] == ["3.0000", "5.0000"]
    assert "_interval" in rows.columns
    assert not {"_batch_id", "_version"} & set(rows.columns)


def test_before_the_first_publication_the_speed_layer_serves_alone(spark, speed, batch, answers):
    """Before any table is there but its own, and once a run has written rows that nothing publishes yet."""
    speed(speed_row(0, "1", 0), speed_row(0, "3", 1))
    served = [(FRIDAY.id, 0, "3", "speed", "v1")]
    assert answers() == served
    batch(batch_row(0, "6", "r1"))
    assert answers() == served


def test_without_a_speed_layer_what_is_published_is_served(spark, batch, publish, answers):
    batch(batch_row(0, "6", "r1"))
    assert answers() == []
    publish(publication("r1"))
    assert answers() == [(FRIDAY.id, 0, "6", "batch", "v1")]


def test_what_was_late_per_window_is_read_from_published(spark, write, local_lake):
    """As docs/decisions/0034 says it in SQL."""
    text = (Path(__file__).parents[2] / "docs/decisions/0034-late-per-window-and-where-it-is-told.md").read_text()
    sql = text.partition("```sql")[2].partition("```")[0]
    late = {
        "rows_read": 5,
        "late": {"events": 3, "windows": [["2026-11-20T00:07:00+00:00", 2], ["2026-11-20T00:09", 1]]},
    }
    results = (json.dumps(late), '{"rows_read": 4, "late": null}')
    rows = [(*publication(run, day)[:-1], told) for run, day, told in zip(("r1", "r2"), (FRIDAY, SATURDAY), results)]
    write(local_lake.published, rows, PUBLISHED, "pipeline", "version", "_interval")
    read_table(spark, local_lake.published).createOrReplaceTempView("published")
    friday, saturday = spark.sql(sql).orderBy("_interval").collect()
    assert (friday["run"], friday["late"]) == ("r1", 3)
    assert friday["late_by_window"] == [["2026-11-20T00:07:00+00:00", "2"], ["2026-11-20T00:09", "1"]]
    assert (saturday["late"], saturday["late_by_window"]) == (None, None)


def test_where_neither_layer_has_written_anything_the_error_says_what_to_start(spark, local_lake, publish):
    for publish_first in (False, True):
        if publish_first:
            publish(publication("r1", pipeline="another"))
        with pytest.raises(UsageError, match="start the DAG 'stock_high_low__speed', or a backfill of"):
            serving_view(spark, stock_high_low, local_lake, "v1")


def test_published_intervals_come_from_batch_and_all_others_from_speed(spark, batch, speed, publish, answers):
    speed(speed_row(0, "1", 0), speed_row(1, "1", 0), speed_row(0, "4", 0, interval=SATURDAY))
    speed(speed_row(0, "3", 9, version="v0", interval=SATURDAY))
    batch(batch_row(0, "6", "r1"), batch_row(0, "7", "r2"), batch_row(1439, "9", "r2"))
    publish(publication("r1", pipeline="another"))
    saturday = (SATURDAY.id, 0, "4", "speed", "v1")
    assert answers() == [(FRIDAY.id, 0, "1", "speed", "v1"), (FRIDAY.id, 1, "1", "speed", "v1"), saturday]
    publish(publication("r1", pipeline="another"), publication("r2"))
    now = [(FRIDAY.id, 0, "7", "batch", "v1"), (FRIDAY.id, 1439, "9", "batch", "v1"), saturday]
    assert answers() == now
    assert told(spark.table("stock_high_low")) == now


def test_rows_of_an_interval_that_was_published_as_partial_are_marked(spark, local_lake, batch, speed, publish):
    speed(speed_row(0, "4", 0, interval=SATURDAY))
    batch(batch_row(0, "7", "r1"), batch_row(0, "2", "r2", SATURDAY))

    def marks():
        rows = serving_view(spark, stock_high_low, local_lake, "v1").collect()
        return {(row["_interval"], row["_layer"], row["_partial"]) for row in rows}

    publish(publication("r1", certificate='{"partial": ["the archive is behind Kafka"]}'))
    assert marks() == {(FRIDAY.id, "batch", True), (SATURDAY.id, "speed", False)}
    publish(publication("r1", certificate='{"partial": []}'), publication("r2", SATURDAY))
    assert marks() == {(FRIDAY.id, "batch", False), (SATURDAY.id, "batch", False)}

    accept_loss(spark, local_lake, start=5, end=7, until=FRIDAY.end)  # of either day, or of one before
    read = '{"partial": [], "coverage": {"0": %d}}'
    publish(publication("r1", certificate=read % 6), publication("r2", SATURDAY, certificate=read % 7))
    assert marks() == {(FRIDAY.id, "batch", True), (SATURDAY.id, "batch", False)}

    speed(speed_row(0, "4", 0), speed_row(0, "4", 0, interval=SUNDAY))
    publish(publication("r2", SATURDAY, certificate=read % 7))
    assert marks() == {(FRIDAY.id, "speed", True), (SATURDAY.id, "batch", False), (SUNDAY.id, "speed", False)}


def accept_loss(spark, lake, start, end, until):
    lost = [LostRange(0, start, end, "retention loss", None, until)]
    write_loss(spark, lake, AcceptedLoss("1", "stock_ticks", None, "ada", until, "why", {}, {}, lost))


def write_loss(spark, lake, loss):
    LakeFiles(spark).create(f"{lake.accepted_losses('stock_ticks')}/{loss.id}.json", json.dumps(loss.to_json()))


def test_speed_rows_are_marked_that_may_lack_what_their_own_stream_has_skipped(
    spark, local_lake, batch, speed, publish
):
    for day in (FRIDAY, SATURDAY, SUNDAY):
        speed(speed_row(0, "1", 0, interval=day), speed_row(0, "1", 0, version="v2", interval=day))
    batch(batch_row(0, "7", "r1"))
    publish(publication("r1", certificate='{"partial": []}'))
    skipped = {"checkpoints/stock_high_low__speed/v1": {0: (5, 7)}}
    noon = FRIDAY.start + DAY / 2
    write_loss(spark, local_lake, AcceptedLoss("1", "stock_ticks", None, "ada", noon, "why", {}, skipped, []))

    def marks(version):
        rows = serving_view(spark, stock_high_low, local_lake, version).collect()
        return {(row["_interval"], row["_layer"]): row["_partial"] for row in rows}

    expected = {(FRIDAY.id, "batch"): False, (SATURDAY.id, "speed"): True, (SUNDAY.id, "speed"): False}
    assert marks("v1") == expected, "an event may be a day ahead of its record"
    publish(publication("r1", version="v2", certificate='{"partial": []}'))
    assert marks("v2") == {**expected, (SATURDAY.id, "speed"): False}, "its own stream has skipped nothing"


def test_a_view_is_a_snapshot_whatever_is_published_meanwhile(spark, local_lake, batch, speed, publish):
    speed(speed_row(0, "1", 0))
    batch(batch_row(0, "7", "r1"))
    publish(publication("r1", pipeline="another"))
    before = serving_view(spark, stock_high_low, local_lake, "v1")
    batch(batch_row(0, "2", "r2", SATURDAY))
    publish(publication("r1"), publication("r2", SATURDAY))
    assert told(before) == [(FRIDAY.id, 0, "1", "speed", "v1")]


# As docs/decisions/0011 gives it.
SERVED = """
SELECT _interval, run, version FROM (
  SELECT p.*, row_number() OVER (PARTITION BY _interval ORDER BY array_position(s.versions, p.version)) AS place
  FROM published p JOIN (SELECT versions FROM serving WHERE pipeline = 'stock_high_low' ORDER BY number DESC LIMIT 1) s
    ON array_contains(s.versions, p.version) WHERE p.pipeline = 'stock_high_low') WHERE place = 1
"""


def test_the_newest_order_of_versions_decides_who_serves_an_interval(
    spark, local_lake, write, batch, speed, publish, answers
):
    speed(speed_row(0, "1", 0, interval=SUNDAY), speed_row(0, "2", 0, version="v2", interval=SUNDAY))
    batch(
        batch_row(0, "7", "r1"),
        batch_row(0, "8", "r2"),
        batch_row(0, "2", "r3", SATURDAY),
        batch_row(0, "9", "r4", SUNDAY),
    )
    publish(
        publication("r1"),
        publication("r2", version="v2"),
        publication("r3", SATURDAY),
        publication("r4", SUNDAY, version="never served"),
    )

    def serve(number, *versions, pipeline="stock_high_low"):
        columns = "pipeline string, number long, versions array<string>"
        write(local_lake.serving, [(pipeline, number, list(versions))], columns, "pipeline")

    def runs():
        for table in ("published", "serving"):
            read_table(spark, getattr(local_lake, table)).createOrReplaceTempView(table)
        return sorted(tuple(row) for row in spark.sql(SERVED).collect())

    saturday = (SATURDAY.id, 0, "2", "batch", "v1")
    old = [(FRIDAY.id, 0, "7", "batch", "v1"), saturday, (SUNDAY.id, 0, "1", "speed", "v1")]
    new = [(FRIDAY.id, 0, "8", "batch", "v2"), saturday, (SUNDAY.id, 0, "2", "speed", "v2")]
    assert answers() == old, "before anything is served it is the version that is asked for"
    serve(1, "v1")
    serve(1, "v2", pipeline="another")
    assert answers("v2") == old
    serve(10, "v2", "v1")
    assert answers() == new
    assert runs() == [(FRIDAY.id, "r2", "v2"), (SATURDAY.id, "r3", "v1")]
    serve(11, "v1", "v2")
    assert answers() == old
    assert runs() == [(FRIDAY.id, "r1", "v1"), (SATURDAY.id, "r3", "v1")]

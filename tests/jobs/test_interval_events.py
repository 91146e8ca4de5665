"""A version reads the archive by its own decoder, whichever decoder the records were archived by: on both engines."""

from __future__ import annotations

from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest

from jobs.archive import to_raw
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.interval_events import read_events
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.redecode import redecode
from jobs.reprocess import reprocess
from jobs.tables import read_table
from jobs.topic import Field
from jobs.topics import stock_ticks

pytestmark = pytest.mark.both_engines

DAY = timedelta(days=1)
FRIDAY = Interval.parse("2026-11-20", DAY)
NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
RECORD = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, topic string, partition int,"
    " offset long, timestamp timestamp, timestampType int"
)


def tick(when, rest='"volume":1', time="event_time"):
    return f'{{"symbol":"A","{time}":"2026-11-{when}Z","price":1.5,{rest}}}'.encode()


VALUES = [
    tick("20T00:00:00"),
    tick("20T00:00:01", rest='"volume":1,"venue":"XETR"'),
    tick("20T10:00:00", rest='"venue":"XNYS"'),  # without a volume
    tick("20T23:59:59.999999", rest='"volume":1,"venue":"' + "x" * 100 + '"'),
    tick("19T23:59:59.999999"),
    tick("21T00:00:00", rest='"venue":"XNYS"'),
    b"garbage",
    None,
]
EARLIER = stock_ticks
# A field more, and records without a volume are no longer dead letters.
LATER = replace(
    stock_ticks,
    fields=(
        *(Field(each.name, each.type, required=each.name != "volume") for each in stock_ticks.fields),
        Field("venue", "string", required=False),
    ),
)
STRICTER = replace(stock_ticks, max_value_bytes=120)
# Per decoder, the day's offsets, each with its volume and its venue.
READS = {
    EARLIER: {0: (1, None), 1: (1, None), 3: (1, None)},
    LATER: {0: (1, None), 1: (1, "XETR"), 2: (None, "XNYS"), 3: (1, "x" * 100)},
    STRICTER: {0: (1, None), 1: (1, None)},
}
NAMES = {EARLIER: "earlier", LATER: "later", STRICTER: "stricter"}


def archive(spark, lake, topic, values, first=0):
    rows = [
        (b"k", None if value is None else bytearray(value), None, "stock_ticks", 0, first + number, NOON, 0)
        for number, value in enumerate(values)
    ]
    records = to_raw(spark.createDataFrame(rows, RECORD).coalesce(1), topic)
    writer = records.write.format("delta").mode("append").option("mergeSchema", "true").partitionBy("event_date")
    writer.save(lake.raw("stock_ticks"))


def read(spark, lake, topic):
    raw = read_table(spark, lake.raw("stock_ticks"))
    found = read_events(raw, replace(stock_high_low, topic=topic), FRIDAY)
    rows = found.rows.collect()
    event = {row["offset"]: row["event"].asDict() for row in rows}
    assert len(event) == len(rows)
    assert all(list(each) == [field.name for field in topic.fields] for each in event.values())
    return {offset: (each["volume"], each.get("venue")) for offset, each in event.items()}, found.archived


@pytest.mark.parametrize(
    ("archiver", "reader"),
    [(EARLIER, EARLIER), (EARLIER, LATER), (LATER, EARLIER), (EARLIER, STRICTER), (STRICTER, LATER)],
    ids=NAMES.get,
)
def test_a_version_reads_what_its_own_decoder_makes_of_the_bytes(spark, local_lake, archiver, reader):
    archive(spark, local_lake, archiver, VALUES)
    is_own = archiver is reader
    assert read(spark, local_lake, reader) == (READS[reader], None if is_own else len(READS[archiver]))


@pytest.mark.parametrize("reader", [EARLIER, LATER], ids=NAMES.get)
def test_an_archive_whose_decoder_changed_on_the_way_is_read_by_one(spark, local_lake, reader):
    archive(spark, local_lake, EARLIER, VALUES[:2])
    archive(spark, local_lake, LATER, VALUES[2:], first=2)
    assert read(spark, local_lake, reader) == (READS[reader], 4)


def test_an_archive_of_before_decoders_were_noted_is_read_from_its_bytes(spark, local_lake):
    archive(spark, local_lake, EARLIER, VALUES)
    uri = local_lake.raw("stock_ticks")
    old = read_table(spark, uri).drop("decoder")
    old.write.format("delta").mode("overwrite").option("overwriteSchema", "true").save(uri)
    assert read(spark, local_lake, LATER) == (READS[LATER], 3)


def test_what_was_redecoded_is_read_by_every_version(spark, local_lake):
    archive(spark, local_lake, EARLIER, VALUES)
    earlier_with_volume_left_out = replace(
        EARLIER, fields=tuple(replace(each, required=each.name != "volume") for each in EARLIER.fields)
    )
    assert redecode(spark, earlier_with_volume_left_out, local_lake, "r1")["moved"] == 2
    rows, archived = read(spark, local_lake, earlier_with_volume_left_out)
    assert (rows, archived) == ({**READS[EARLIER], 2: (None, None)}, 4)
    assert read(spark, local_lake, EARLIER) == (rows, 4), "as is what the older version cannot decode itself"


def test_after_redecoding_no_run_of_that_decoder_looks_at_dead_letters_again(spark, local_lake):
    archive(spark, local_lake, EARLIER, [b"garbage", None, b"[]"])
    assert read(spark, local_lake, STRICTER) == ({}, 0)
    result = redecode(spark, STRICTER, local_lake, "r1")
    assert (result["examined"], result["moved"], result["changed_reason"]) == (3, 0, 0)
    assert read(spark, local_lake, STRICTER) == ({}, None)


def test_a_run_says_how_many_events_the_archive_had_beside_how_many_it_read(spark, local_lake):
    archive(spark, local_lake, EARLIER, VALUES)
    for topic, read_and_archived in ((EARLIER, (3, None)), (LATER, (4, 3)), (STRICTER, (2, 3))):
        pipeline = replace(stock_high_low, topic=topic)
        result = reprocess(spark, pipeline, FRIDAY, local_lake, NAMES[topic], NAMES[topic], 0, {0: 99})
        assert (result["rows_read"], result.get("rows_archived")) == read_and_archived


def test_a_decoder_that_moves_a_record_to_another_day_is_refused(spark, local_lake):
    both = (*EARLIER.fields, Field("traded_at", "timestamp"))
    by_event, by_trade = (replace(EARLIER, fields=both, event_time=time) for time in ("event_time", "traded_at"))
    same = '"volume":1,"traded_at":"2026-11-20T00:00:00Z"'
    archive(spark, local_lake, by_event, [tick("20T10:00:00", rest=same)])
    assert set(read(spark, local_lake, by_trade)[0]) == {0}
    archive(spark, local_lake, by_event, [tick("20T10:00:00", rest=same.replace("20T", "19T"))], first=1)
    with pytest.raises(UsageError, match="offset 1 of partition 0 of 'stock_ticks' in another day than the archive's"):
        read(spark, local_lake, by_trade)


def test_an_archive_that_knows_nothing_of_the_event_time_is_refused(spark, local_lake):
    archive(spark, local_lake, EARLIER, VALUES)
    fields = tuple(replace(each, name="at") if each.name == "event_time" else each for each in EARLIER.fields)
    with pytest.raises(UsageError, match="its event time is 'at', which the archive's events"):
        read(spark, local_lake, replace(EARLIER, fields=fields, event_time="at"))

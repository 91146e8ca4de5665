"""Dead letters become events when the decoder is fixed: the right ones, once, and not a byte of them changes."""

from __future__ import annotations

import json
import sys
import threading
import time
from dataclasses import replace
from datetime import datetime, timedelta, timezone

import pytest
from pyspark.sql import functions as F

from jobs import redecode as redecoding
from jobs.archive import to_raw
from jobs.driver import main
from jobs.errors import LockHeldError, UsageError
from jobs.heartbeat import held
from jobs.lake_files import LakeFiles
from jobs.lock import QueryLock
from jobs.redecode import redecode
from jobs.tables import ensure_table, read_table
from jobs.topic import Field
from jobs.topics import stock_ticks

pytestmark = pytest.mark.both_engines

NOON = datetime(2026, 11, 20, 12, tzinfo=timezone.utc)
RECORD = (
    "key binary, value binary, headers array<struct<key: string, value: binary>>, topic string, partition int,"
    " offset long, timestamp timestamp, timestampType int"
)
BYTES = ("key", "value", "headers", "topic", "partition", "offset", "timestamp", "timestamp_type", "archived_at")
# As it was declared when the records arrived, and corrected: no volume is no fault, and three days ahead are allowed.
BROKEN = stock_ticks
FIXED = replace(
    stock_ticks,
    fields=tuple(Field(f.name, f.type, required=f.name != "volume") for f in stock_ticks.fields),
    max_ahead=timedelta(days=3),
)
HEADERS = [("trace", bytearray(b"\x00\xff\x7f")), ("trace", None)]


def tick(when, volume='"volume":1,', symbol="A"):
    return f'{{"symbol":"{symbol}",{volume}"event_time":"2026-11-{when}Z","price":1.5}}'.encode()


VALUES = [
    tick("20T11:00:00"),  # an event from the start
    tick("20T11:30:00", volume=""),  # dead: missing: volume
    b"\xff\xfe no text",  # dead for ever
    tick("23T11:00:00"),  # dead: more than a day ahead
    b'{"price":1}',  # dead for ever; it misses less
    b'{"price":"x"}',  # dead for ever
    tick("25T12:00:00", volume=""),  # missing: volume; then: more than three days ahead
    tick("20T23:59:59.999999", volume="", symbol="\U0001f4a9"),
    None,
]


def append(spark, lake, values, first=0, key=b"\x80k", **options):
    rows = [
        (bytearray(key), None if value is None else bytearray(value), HEADERS, "stock_ticks", 1, first + n, NOON, 0)
        for n, value in enumerate(values)
    ]
    records = to_raw(spark.createDataFrame(rows, RECORD).coalesce(1), BROKEN)
    ensure_table(spark, records.schema, lake.raw("stock_ticks"), ["event_date"])
    writer = records.write.format("delta").mode("append").partitionBy("event_date")
    writer.options(**options).save(lake.raw("stock_ticks"))


def raw_rows(spark, lake):
    found = read_table(spark, lake.raw("stock_ticks")).orderBy("offset").collect()
    return {row["offset"]: row for row in found}, [row["offset"] for row in found]


def version(spark, lake):
    history = spark.sql(f"DESCRIBE HISTORY delta.`{lake.raw('stock_ticks')}`")
    return history.agg(F.max("version")).first()[0]


@pytest.fixture
def archived(spark, local_lake):
    """A raw archive of VALUES; a second micro-batch holds the last two."""
    append(spark, local_lake, VALUES[:7])
    append(spark, local_lake, VALUES[7:], first=7)
    return local_lake


def test_what_decodes_now_moves_into_its_day_and_the_rest_stays(spark, archived):
    before, _ = raw_rows(spark, archived)
    assert redecode(spark, FIXED, archived, "r1") == {
        "examined": 8,
        "moved": 3,
        "still_dead": 5,
        "changed_reason": 2,
        "days": {"2026-11-20": 2, "2026-11-23": 1},
    }
    after, offsets = raw_rows(spark, archived)
    assert offsets == list(range(9))
    assert {offset for offset, row in after.items() if row["redecoded_at"]} == {1, 3, 7}
    assert {offset: str(row["event_date"]) for offset, row in after.items() if row["event_date"]} == {
        0: "2026-11-20",
        1: "2026-11-20",
        3: "2026-11-23",
        7: "2026-11-20",
    }
    assert {offset: row["error"] for offset, row in after.items() if row["error"]} == {
        2: "invalid UTF-8",
        4: "missing: symbol, event_time",
        5: "wrong type: price",
        6: "event time out of bounds: event_time 2026-11-25 12:00:00",
        8: "null value",
    }
    assert all((row["event"] is None) == (row["error"] is not None) for row in after.values())
    assert after[7]["event"]["symbol"] == "\U0001f4a9"
    assert after[1]["event"]["volume"] is None
    assert str(after[1]["event"]["price"]) == "1.5000"
    assert before[1]["archived_at"] < after[1]["redecoded_at"]


def test_not_a_byte_of_a_record_changes(spark, archived):
    before, _ = raw_rows(spark, archived)
    redecode(spark, FIXED, archived, "r1")
    after, _ = raw_rows(spark, archived)
    assert [tuple(after[n][name] for name in BYTES) for n in after] == [
        tuple(before[n][name] for name in BYTES) for n in before
    ]
    assert [None if row["value"] is None else bytes(row["value"]) for row in after.values()] == VALUES
    assert {bytes(row["key"]) for row in after.values()} == {b"\x80k"}
    assert {str(row["headers"]) for row in after.values()} == {str(before[0]["headers"])}
    assert after[0]["headers"][0]["value"] == bytearray(b"\x00\xff\x7f")


def test_a_redecoded_row_is_what_the_fixed_decoder_would_have_archived(spark, archived):
    redecode(spark, FIXED, archived, "r1")
    moved = read_table(spark, archived.raw("stock_ticks")).where("redecoded_at IS NOT NULL")
    kafkas = moved.select(*BYTES[:-2], F.col("timestamp_type").alias("timestampType"))
    columns = ("offset", "event", "error", "event_date")
    assert sorted(moved.select(*columns).collect()) == sorted(to_raw(kafkas, FIXED).select(*columns).collect())


def test_one_commit_and_the_second_time_none(spark, archived):
    began_with = version(spark, archived)
    redecode(spark, FIXED, archived, "r1")
    assert version(spark, archived) == began_with + 1
    assert redecode(spark, FIXED, archived, "r2") == {
        "examined": 5,
        "moved": 0,
        "still_dead": 5,
        "changed_reason": 0,
        "days": {},
    }
    assert version(spark, archived) == began_with + 1


def test_a_decoder_that_is_the_same_changes_nothing(spark, archived):
    began_with = version(spark, archived)
    assert redecode(spark, BROKEN, archived, "r1")["still_dead"] == 8
    assert version(spark, archived) == began_with


def test_an_archive_without_dead_letters_is_left_alone(spark, local_lake):
    append(spark, local_lake, VALUES[:1])
    assert redecode(spark, FIXED, local_lake, "r1")["examined"] == 0


def test_an_offset_that_a_new_topic_used_again_is_another_record(spark, archived):
    append(spark, archived, [tick("21T01:00:00", volume="")], first=1)
    assert redecode(spark, FIXED, archived, "r1")["days"] == {"2026-11-20": 2, "2026-11-21": 1, "2026-11-23": 1}
    rows = read_table(spark, archived.raw("stock_ticks")).where("offset = 1").collect()
    assert sorted(row["event"]["event_time"].day for row in rows) == [20, 21]


def test_what_is_appended_meanwhile_is_neither_lost_nor_doubled(spark, archived, monkeypatch):
    """A writer adds events and dead letters, until a redecode has met its commit; the redecode tries again."""
    conflicts, pause = threading.Event(), redecoding._pause

    def pausing(attempt, error):
        conflicts.set()
        pause(attempt, error)

    monkeypatch.setattr(redecoding, "_pause", pausing)
    appended = []

    def archive():
        deadline = time.monotonic() + 100
        while not conflicts.is_set() and time.monotonic() < deadline:
            first = 9 + 3 * len(appended)
            append(spark, archived, [tick("20T01:00:00"), tick("20T02:00:00", volume=""), b"[]"], first=first)
            appended.append(first)

    writer = threading.Thread(target=archive)
    writer.start()
    moved = redecode(spark, FIXED, archived, "r1")["moved"]
    while not conflicts.is_set() and writer.is_alive():
        moved += redecode(spark, FIXED, archived, "again")["moved"]
    writer.join()
    assert conflicts.is_set(), "no commit came between: nothing was tested"
    moved += redecode(spark, FIXED, archived, "last")["moved"]
    rows, offsets = raw_rows(spark, archived)
    assert offsets == list(range(9 + 3 * len(appended)))
    assert moved == 3 + len(appended)
    assert {offset for offset, row in rows.items() if row["redecoded_at"]} == {1, 3, 7, *(n + 1 for n in appended)}
    assert all(rows[n]["event"] and rows[n + 1]["event"] and rows[n + 2]["error"] for n in appended)


@pytest.mark.skipif(sys.version_info < (3, 11), reason="the stack runs on Python 3.11")
def test_what_a_certificate_reads_of_the_table_is_undisturbed(spark, lake, environment):
    from deltalake import DeltaTable

    append(spark, lake, VALUES, txnAppId="the archive's query", txnVersion=7)
    assert redecode(spark, FIXED, lake, "r1")["moved"] == 3
    table = DeltaTable(lake.raw("stock_ticks"), storage_options=environment.delta_options())
    assert table.transaction_version("the archive's query") == 7
    assert "deletionVectors" not in (table.protocol().reader_features or ())
    append(spark, lake, VALUES, txnAppId="the archive's query", txnVersion=7)
    assert read_table(spark, lake.raw("stock_ticks")).count() == 9, "the replayed micro-batch is known"


def test_a_topic_without_an_archive_is_named(spark, local_lake):
    with pytest.raises(UsageError, match="has no raw archive yet; start the DAG 'archive__stock_ticks' first"):
        redecode(spark, FIXED, local_lake, "r1")


def test_an_archive_of_an_older_millrace_is_refused(spark, archived):
    older = read_table(spark, archived.raw("stock_ticks")).drop("redecoded_at")
    other = replace(archived, root=f"{archived.root}/older")
    older.write.format("delta").partitionBy("event_date").save(other.raw("stock_ticks"))
    with pytest.raises(UsageError, match="has no column 'redecoded_at'"):
        redecode(spark, FIXED, other, "r1")


def test_other_fields_than_the_archive_has_are_refused(spark, archived):
    wider = replace(FIXED, fields=(*FIXED.fields, Field("venue", "string", required=False)))
    with pytest.raises(UsageError, match=r"declared as struct<.*venue:string>, but the archive's events are struct<"):
        redecode(spark, wider, archived, "r1")


def test_one_redecode_at_a_time(spark, archived):
    lock = QueryLock(LakeFiles(spark), archived.lock("redecode__stock_ticks"), "redecode__stock_ticks", "first")
    with held(lock), pytest.raises(LockHeldError, match="query 'redecode__stock_ticks' is run by owner 'first'"):
        redecode(spark, FIXED, archived, "second")
    assert redecode(spark, FIXED, archived, "third")["moved"] == 3


def test_a_lock_is_renewed_while_the_work_lasts(spark, local_lake, monkeypatch):
    monkeypatch.setattr("jobs.heartbeat.HEARTBEAT", timedelta(milliseconds=20))
    uri = local_lake.lock("redecode__stock_ticks")
    lock = QueryLock(LakeFiles(spark), uri, "redecode__stock_ticks", "me")
    with held(lock):
        deadline = time.monotonic() + 30
        while lock.renewed_at == lock.started_at and time.monotonic() < deadline:
            time.sleep(0.01)
    assert lock.renewed_at > lock.started_at
    assert LakeFiles(spark).read(uri) is None


def test_the_driver_writes_what_a_redecode_did_to_the_lake(spark, archived, monkeypatch, capsys):
    monkeypatch.setattr("jobs.driver.stop_session", lambda: None)
    monkeypatch.setattr("jobs.driver.find_topic", lambda name: FIXED)
    assert main(["redecode", "--topic", "stock_ticks", "--run", "r1", "--lake", archived.root]) == 0
    found = json.loads(LakeFiles(spark).read(archived.run_result("redecode__stock_ticks", "r1")))
    assert (found["run"], found["topic"], found["moved"]) == ("r1", "stock_ticks", 3)
    assert found["days"] == {"2026-11-20": 2, "2026-11-23": 1}
    assert json.dumps(found) in capsys.readouterr().out

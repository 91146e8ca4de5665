"""A table of many small files becomes one of few while a stream writes it, and no row of it changes."""

from __future__ import annotations

import threading
import time
from collections import Counter
from datetime import date, datetime, timedelta, timezone

import pytest
from pyspark.sql import functions as F

from jobs import compaction
from jobs.archive import recent_days
from jobs.compaction import Compaction
from jobs.delta_log import committed_transaction, last_transaction
from jobs.lake_files import LakeFiles
from jobs.stream import run_stream
from jobs.tables import ensure_table, read_table

TODAY = datetime.now(timezone.utc).date()


def append(spark, uri, batch, rows, application="query"):
    """One micro-batch as a stream writes it: one small file per partition."""
    found = spark.createDataFrame(rows, "day date, value long").coalesce(1).write.format("delta").mode("append")
    found.partitionBy("day").option("txnAppId", application).option("txnVersion", batch).save(uri)


def files_by_day(spark, uri):
    found = read_table(spark, uri).select("day", F.input_file_name().alias("file")).distinct().collect()
    return Counter(row["day"] for row in found)


def rows(spark, uri):
    return sorted((row["day"] or date.min, row["value"]) for row in read_table(spark, uri).collect())


@pytest.fixture
def uri(local_lake):
    return local_lake.raw("numbers")


@pytest.mark.both_engines
def test_small_files_become_one_a_partition_but_for_old_days_and_the_rows_stay(spark, uri):
    old, new = TODAY - timedelta(days=31), TODAY - timedelta(days=30)
    for batch in range(3):
        append(spark, uri, batch, [(day, 10 * batch + n) for n, day in enumerate((old, new, None))])
    before = rows(spark, uri)
    Compaction(spark, uri, lambda: recent_days().replace("event_date", "day")).run()
    assert files_by_day(spark, uri) == {old: 3, new: 1, None: 1}
    assert rows(spark, uri) == before
    assert last_transaction(spark, uri, "query") == 2
    append(spark, uri, 2, [(TODAY, 99)])
    assert rows(spark, uri) == before, "a micro-batch that is replayed is known as written"


@pytest.mark.both_engines
def test_what_was_committed_last_is_known_after_the_log_was_cleaned(spark, uri, tmp_path):
    append(spark, uri, 7, [(TODAY, 1)], application="stopped")
    for batch in range(10):  # Delta writes a checkpoint at the tenth commit
        append(spark, uri, batch, [(TODAY, batch)])
    log = tmp_path / "lake" / "raw" / "numbers" / "_delta_log"
    for number in range(3):
        (log / f"{number:020}.json").unlink()
    assert committed_transaction(LakeFiles(spark), uri, "stopped") is None
    assert last_transaction(spark, uri, "stopped") == 7
    assert last_transaction(spark, uri, "query") == 9
    assert last_transaction(spark, uri, "nobody") is None


@pytest.mark.both_engines
def test_an_older_table_gets_the_properties_that_a_new_one_has(spark, local_lake):
    kept = dict.fromkeys(("delta.logRetentionDuration", "delta.deletedFileRetentionDuration"), "interval 1 days")
    wanted = {**kept, "delta.checkpointInterval": "50"}
    schema = spark.createDataFrame([], "day date, value long").schema
    old, new = local_lake.raw("old"), local_lake.raw("new")
    append(spark, old, 0, [(TODAY, 1)])

    def found(uri):
        return spark.sql(f"DESCRIBE DETAIL delta.`{uri}`").collect()[0]["properties"]

    def version(uri):
        return spark.sql(f"DESCRIBE HISTORY delta.`{uri}`").agg(F.max("version")).collect()[0][0]

    for uri in (old, new):
        ensure_table(spark, schema, uri, ["day"], wanted)
        assert wanted.items() <= found(uri).items()
        before = version(uri)
        ensure_table(spark, schema, uri, ["day"], wanted)
        assert version(uri) == before, "no commit where nothing changes"
    assert rows(spark, old) == [(TODAY, 1)]


class Query:
    """A stream of JSON lines into the table, run as a driver runs it."""

    def __init__(self, spark, lake, uri, folder, compacts):
        self._source = folder / "source"
        self._source.mkdir()
        self._query = None
        self._error = None
        self._sent = 0

        def start():
            lines = spark.readStream.schema("day date, value long").option("maxFilesPerTrigger", 1)
            writer = lines.json(str(self._source)).writeStream.format("delta").partitionBy("day")
            self._query = writer.option("checkpointLocation", str(folder / "checkpoint")).start(uri)
            return self._query

        def run():
            try:
                run_stream(spark, "q", lake.checkpoint("q", "1"), "me", lake, start, compaction=compacts)
            except Exception as error:  # noqa: BLE001 - handed to the test
                self._error = error

        self._thread = threading.Thread(target=run)
        self._thread.start()

    def send(self, lines):
        for _ in range(lines):
            path = self._source / f"{self._sent}.json"
            path.with_suffix(".draft").write_text(f'{{"day": "{TODAY}", "value": {self._sent}}}\n')
            path.with_suffix(".draft").rename(path)
            self._sent += 1

    def wait(self, condition):
        deadline = time.monotonic() + 60
        while not condition():
            assert time.monotonic() < deadline
            assert self._thread.is_alive(), self._error
            time.sleep(0.1)

    def has_written(self, spark, uri):
        return LakeFiles(spark).is_table(uri) and read_table(spark, uri).count() == self._sent

    def stop(self):
        self._query.stop()
        self._thread.join(60)
        assert not self._thread.is_alive()
        assert self._error is None


def test_a_stream_is_compacted_while_it_runs_and_survives_a_compaction_that_fails(
    spark, local_lake, uri, tmp_path, monkeypatch, capfd
):
    monkeypatch.setattr(compaction, "EVERY", 3)
    wheres = iter(["no_such_column = 1"])
    query = Query(spark, local_lake, uri, tmp_path, Compaction(spark, uri, lambda: next(wheres, "")))
    told = []

    def has_failed():
        told.append(capfd.readouterr().out)
        return f"millrace: compaction of {uri}: " in "".join(told)

    try:
        query.send(4)
        query.wait(has_failed)
        query.send(3)
        query.wait(lambda: query.has_written(spark, uri) and files_by_day(spark, uri)[TODAY] < 5)
        assert rows(spark, uri) == [(TODAY, number) for number in range(7)]
    finally:
        query.stop()

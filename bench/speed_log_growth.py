"""What compaction saves a speed log that grows by a micro-batch a second: `python -m` this module, on a local disk.

Both tables get the same micro-batches in turn, so that a machine which slows down slows both.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path

from pyspark.sql import DataFrame, SparkSession

from jobs.compaction import EVERY, Compaction
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.session import EXACTNESS
from jobs.speed import newest_rows
from jobs.tables import read_table
from millrace.stack.jars import fetch_jars

BATCHES, SYMBOLS, LAST = 400, 10, 20
_ROW = "symbol string, window_start timestamp, close double, _interval string, _batch_id long, _version string"


def main() -> None:
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else BATCHES
    with tempfile.TemporaryDirectory() as folder:
        spark = _session(folder)
        try:
            measure(spark, f"{Path(folder).as_uri()}/plain", f"{Path(folder).as_uri()}/compacted", batches)
        finally:
            spark.stop()


def measure(spark: SparkSession, plain: str, compacted: str, batches: int) -> None:
    """Prints how long the answer of the last micro-batches takes to read, and their writing, per table."""
    compaction, took = Compaction(spark, compacted), []
    written: dict[str, list[float]] = {plain: [], compacted: []}
    for batch in range(1, batches + 1):
        rows = spark.createDataFrame(list(_rows(batch)), _ROW).coalesce(1)
        for uri in written:
            written[uri].append(_seconds(lambda uri=uri, rows=rows, batch=batch: _append(rows, uri, batch)))
        if batch % EVERY == 0:
            took.append(_seconds(compaction.run))
    for uri, seconds in written.items():
        files = read_table(spark, uri).inputFiles()
        read = statistics.median(_seconds(lambda uri=uri: _answer(spark, uri)) for _ in range(5))
        newest = statistics.median(seconds[-LAST:])
        print(f"{uri.rpartition('/')[2]}: {len(files):,} files; answer {read:.2f} s; append {newest:.2f} s", flush=True)
    print(f"a compaction took {statistics.median(took):.2f} s" if took else "no compaction was due")


def _rows(batch: int) -> Iterator[tuple[object, ...]]:
    for number in range(SYMBOLS):
        window = datetime(2026, 11, 20, batch // 60 % 24, batch % 60, tzinfo=UTC)
        yield f"S{number}", window, float(batch), "20261120T000000Z", batch, "v1"


def _append(rows: DataFrame, uri: str, batch: int) -> None:
    told = rows.write.format("delta").mode("append").partitionBy("_interval")
    told.option("txnAppId", "bench").option("txnVersion", batch).save(uri)


def _answer(spark: SparkSession, uri: str) -> None:
    newest_rows(read_table(spark, uri), stock_high_low).collect()


def _seconds(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def _session(folder: str) -> SparkSession:
    builder = SparkSession.builder.master("local[2]").appName("bench")
    jars = ":".join(str(jar) for jar in fetch_jars("spark"))
    own = {
        "spark.driver.extraClassPath": jars,
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": folder,
        "spark.sql.shuffle.partitions": "2",
        "spark.ui.enabled": "false",
        "spark.ui.showConsoleProgress": "false",
    }
    for key, value in {**own, **EXACTNESS}.items():
        builder = builder.config(key, value)
    session = builder.getOrCreate()
    session.sparkContext.setLogLevel("ERROR")
    return session


if __name__ == "__main__":
    main()

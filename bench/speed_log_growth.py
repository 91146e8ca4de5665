"""What compaction saves a speed log that grows by a micro-batch a second: `python -m` this module, on a local disk.

Two tables get the same small files, a micro-batch each; one is compacted as often as a stream does it.
Spark then reads the answer from either, and appends to either, in turn: a machine that slows down slows both.
"""

from __future__ import annotations

import os
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow as pa
from deltalake import write_deltalake
from pyspark.sql import DataFrame, SparkSession

from jobs.compaction import EVERY, Compaction
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.session import EXACTNESS
from jobs.speed import newest_rows
from jobs.tables import read_table
from millrace.stack.jars import fetch_jars

BATCHES, SYMBOLS, TIMES = 600, 10, 7
_SCHEMA = pa.schema(
    [
        ("symbol", pa.string()),
        ("window_start", pa.timestamp("us", tz="UTC")),
        ("close", pa.float64()),
        ("_interval", pa.string()),
        ("_batch_id", pa.int64()),
        ("_version", pa.string()),
    ]
)
_NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)


def main() -> None:
    batches = int(sys.argv[1]) if len(sys.argv) > 1 else BATCHES
    with tempfile.TemporaryDirectory() as folder:
        spark = _session(folder)
        try:
            measure(spark, {name: f"{Path(folder).as_uri()}/{name}" for name in ("plain", "compacted")}, batches)
        finally:
            spark.stop()


def measure(spark: SparkSession, tables: dict[str, str], batches: int) -> None:
    """Prints per table how long the answer takes to read, and a micro-batch to append."""
    compaction, took = Compaction(spark, tables["compacted"]), []
    for batch in range(1, batches + 1):
        for uri in tables.values():
            write_deltalake(uri, _rows(batch), mode="append", partition_by=["_interval"])
        if batch % EVERY == 0:
            took.append(_seconds(compaction.run))
    files = {name: len(read_table(spark, uri).inputFiles()) for name, uri in tables.items()}
    reads: dict[str, list[float]] = {name: [] for name in tables}
    appends: dict[str, list[float]] = {name: [] for name in tables}
    more = spark.range(SYMBOLS).selectExpr(
        "concat('S', id) AS symbol",
        "TIMESTAMP '2026-11-20 13:00:00Z' AS window_start",
        "CAST(1 AS DOUBLE) AS close",
        "'20261120T000000Z' AS _interval",
        f"CAST({batches + 1} AS LONG) AS _batch_id",
        "'v1' AS _version",
    )
    for _ in range(TIMES):
        for name, uri in tables.items():
            reads[name].append(_seconds(lambda uri=uri: _answer(spark, uri)))
            appends[name].append(_seconds(lambda uri=uri: _append(more, uri)))
    for name in tables:
        read, append = statistics.median(reads[name]), statistics.median(appends[name])
        print(f"{name}: {files[name]:,} files; answer {read:.2f} s; append {append:.2f} s", flush=True)
    print(f"{batches:,} micro-batches; a compaction took {statistics.median(took):.2f} s")


def _rows(batch: int) -> pa.Table:
    window = _NOON + timedelta(minutes=batch // 60)
    each = {"window_start": window, "close": float(batch), "_interval": "20261120T000000Z"}
    rows = [{"symbol": f"S{n}", **each, "_batch_id": batch, "_version": "v1"} for n in range(SYMBOLS)]
    return pa.Table.from_pylist(rows, _SCHEMA)


def _append(rows: DataFrame, uri: str) -> None:
    rows.write.format("delta").mode("append").partitionBy("_interval").save(uri)


def _answer(spark: SparkSession, uri: str) -> None:
    newest_rows(read_table(spark, uri), stock_high_low).collect()


def _seconds(what: Callable[[], object]) -> float:
    began = time.monotonic()
    what()
    return time.monotonic() - began


def _session(folder: str) -> SparkSession:
    builder = SparkSession.builder.master("local[2]").appName("bench")
    own = {
        "spark.driver.extraClassPath": os.pathsep.join(str(jar) for jar in fetch_jars("spark")),
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.local.dir": folder,
        "spark.databricks.delta.snapshotPartitions": "2",
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

"""What a checkpoint's state depends on is told the same each time, and differs with the state: on both engines."""

from __future__ import annotations

import dataclasses
import importlib
import json
import sys
from datetime import timedelta

import pytest
from pyspark import __version__ as engine
from pyspark.sql import functions as F

from jobs.decode import decode
from jobs.errors import UsageError
from jobs.lake_files import LakeFiles
from jobs.layers import transform_events
from jobs.manifest import check_restart, speed_facts, write_manifest
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint

pytestmark = pytest.mark.both_engines

RECORD = "value binary, timestamp timestamp, partition int, offset long"


def prices_and_labels(ticks):
    """With a lambda, whose variables Spark numbers anew each time."""
    labels = F.transform(F.split("symbol", "-"), lambda label: F.upper(label))
    return ticks.groupBy(labels.alias("symbol"), F.window("event_time", "1 minute").start.alias("window_start")).agg(
        F.max("price").alias("high")
    )


@pytest.fixture
def facts(spark, tmp_path):
    """Of a pipeline over a stream of files, which stands in for the topic."""

    def told(**changed):
        pipeline = dataclasses.replace(stock_high_low, **changed)
        records = spark.readStream.schema(RECORD).parquet(str(tmp_path))
        return speed_facts(spark, pipeline, transform_events(decode(records, pipeline.topic), pipeline))

    return told


@pytest.fixture
def checkpoint(spark, local_lake, facts):
    """Of a query that has started and planned nothing yet."""
    uri = local_lake.checkpoint("q", "v1")
    files = LakeFiles(spark)
    files.replace(f"{uri}/metadata", '{"id":"q"}')
    write_manifest(files, uri, facts())
    return uri


@pytest.mark.parametrize("transform", [stock_high_low.transform, f"{__name__}:prices_and_labels"])
def test_the_same_code_is_told_in_the_same_words(facts, transform):
    first, second = facts(transform=transform), facts(transform=transform)
    assert first == second
    assert "#" not in json.dumps(first)
    operators = [text for name, text in first.items() if name.startswith("stateful operator")]
    assert [text.split()[0] for text in operators] == ["Aggregate", "EventTimeWatermark"]


def test_each_change_is_told_with_before_and_after(spark, facts, checkpoint):
    files = LakeFiles(spark)
    check_restart(files, checkpoint, facts())
    with pytest.raises(UsageError) as refused:
        check_restart(files, checkpoint, facts(watermark=timedelta(minutes=5)))
    assert "declared watermark was 0:02:00 and is 0:05:00; stateful operator 1 was " in str(refused.value)
    assert "put back what it was, or raise the pipeline's `revision` to start a new version" in str(refused.value)


OURS = """
from pyspark.sql import functions as F
from somebody_elses import volume

def by_symbol(ticks):
    start = F.window("event_time", "1 minute").start.alias("window_start")
    return ticks.groupBy("symbol", start).agg(volume())
"""
THEIRS = "from pyspark.sql import functions as F\n\ndef volume():\n    return F.{}('volume').alias('volume')\n"


@pytest.fixture
def by_symbol(tmp_path, monkeypatch, facts):
    """A transformation of ours, by another package's function; what is told of it, and its fingerprint."""
    monkeypatch.syspath_prepend(str(tmp_path / "code"))
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    transform = "our_volumes:by_symbol"

    def told(theirs):
        for name in ("our_volumes", "somebody_elses"):
            sys.modules.pop(name, None)
        (tmp_path / "code").mkdir(exist_ok=True)
        (tmp_path / "code" / "our_volumes.py").write_text(OURS)
        (tmp_path / "code" / "somebody_elses.py").write_text(theirs)
        importlib.invalidate_caches()
        return facts(transform=transform), fingerprint(dataclasses.replace(stock_high_low, transform=transform))

    return told


def test_a_function_of_another_package_that_alters_the_state_is_refused(spark, by_symbol, checkpoint):
    """The fingerprint does not cover it: it is the same version, which Spark would go on with, or fail late."""
    files = LakeFiles(spark)
    before, version = by_symbol(THEIRS.format("sum"))
    write_manifest(files, checkpoint, before)
    after, same = by_symbol(THEIRS.format("avg"))
    assert same == version
    with pytest.raises(UsageError, match=r"stateful operator 1 was Aggregate .*sum\(volume\).* and is .*avg\(volume\)"):
        check_restart(files, checkpoint, after)
    check_restart(files, checkpoint, by_symbol(THEIRS.format("sum"))[0])


def test_an_older_sparks_checkpoint_is_taken_over_and_then_refused_there(spark, facts, checkpoint, monkeypatch):
    files = LakeFiles(spark)
    old = {**facts(), "Spark": "3.1.2", "stateful operator 1": "as that one prints it"}
    write_manifest(files, checkpoint, old)
    check_restart(files, checkpoint, facts())
    assert json.loads(files.read(f"{checkpoint}/millrace.json")) == facts()
    monkeypatch.setattr("jobs.manifest.engine", "3.1.2")
    with pytest.raises(UsageError, match=f"was last written by Spark {engine}, and this is Spark 3.1.2"):
        check_restart(files, checkpoint, facts())


def test_together_with_a_newer_spark_a_function_of_another_package_is_seen_by_the_output_alone(
    spark, by_symbol, checkpoint
):
    """See docs/decisions/0012: releases print stateful operators otherwise, so these are not compared."""
    files = LakeFiles(spark)
    write_manifest(files, checkpoint, {**by_symbol(THEIRS.format("sum"))[0], "Spark": "3.1.2"})
    with pytest.raises(UsageError, match=r"query: output column 'volume' was bigint and is double\. Its state"):
        check_restart(files, checkpoint, by_symbol(THEIRS.format("avg"))[0])
    check_restart(files, checkpoint, by_symbol(THEIRS.format("max"))[0])


def test_a_damaged_manifest_says_what_to_do(spark, facts, checkpoint):
    files = LakeFiles(spark)
    for damage in ("", "[]", "{}", '{"Spark": "4.'):
        files.replace(f"{checkpoint}/millrace.json", damage)
        with pytest.raises(UsageError, match=r"is not what Millrace wrote .* put it back from a copy, or delete it"):
            check_restart(files, checkpoint, facts())

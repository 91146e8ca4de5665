"""The test that a scaffold brings along passes on Spark, for every kind of topic."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from pyspark.sql import SparkSession

import jobs.pipelines
from jobs.layers import transform_events
from jobs.topic import Field, Topic
from jobs.topics import stock_ticks
from millrace.scaffold import scaffold

READINGS = Topic(
    "readings",
    (
        Field("note", "string", required=False),
        Field("at", "timestamp"),
        Field("ok", "boolean"),
        Field("heat", "double"),
        *(Field(f"measurement_number_{number}", "decimal(38, 10)", required=False) for number in range(12)),
    ),
    event_time="at",
)


@pytest.mark.parametrize("topic", [stock_ticks, READINGS], ids=lambda topic: str(topic.name))
def test_the_test_of_a_scaffold_passes(
    topic: Topic, spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    name = f"counts_of_{topic.name}"
    written = scaffold(name, topic, tmp_path)
    monkeypatch.setattr(jobs.pipelines, "__path__", [str(tmp_path / "jobs" / "pipelines")])
    space: dict[str, Any] = {}
    test_file = next(path for path in written if path.name == f"test_{name}.py")
    exec(compile(test_file.read_text(), str(test_file), "exec"), space)
    space["test_events_of_one_minute_become_one_row"](spark)


def test_its_output_has_the_declared_columns(
    spark: SparkSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    scaffold("declared_counts", stock_ticks, tmp_path)
    monkeypatch.setattr(jobs.pipelines, "__path__", [str(tmp_path / "jobs" / "pipelines")])
    pipeline = importlib.import_module("jobs.pipelines.declared_counts.pipeline").declared_counts
    event = "symbol string, event_time timestamp, price decimal(18,4), volume long"
    schema = f"event struct<{event}>, partition int, offset long"
    rows = transform_events(spark.createDataFrame([], schema), pipeline)
    assert rows.columns == ["symbol", "window_start", "window_end", "events", "lowest", "highest"]

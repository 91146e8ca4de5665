"""The alerts query: events of a pipeline's topic, one at a time, to its alerts topic, as soon as they come."""

from __future__ import annotations

import inspect
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Dict

from pyspark.sql import Column, DataFrame, SparkSession
from pyspark.sql import functions as F
from pyspark.sql.streaming import DataStreamWriter  # type: ignore[attr-defined]  # so in every Spark from 3.3 on

from jobs.alerts_topic import Alerts
from jobs.decode import decode
from jobs.errors import UsageError
from jobs.kafka import read_stream, write_stream
from jobs.lake import Lake, alerts_query
from jobs.lake_files import LakeFiles
from jobs.layers import events_of
from jobs.manifest import archive_facts, fit_checkpoint
from jobs.pipeline import Pipeline
from jobs.pipelines import declared_alerts
from jobs.plan import calls_python, plan_nodes
from jobs.topic import METADATA_COLUMNS, Topic

if TYPE_CHECKING:
    from pyspark.sql.streaming.query import StreamingQuery

__all__ = ["REAL_TIME_SOURCE", "alert_records", "start_alerts"]

# What looks at one row at a time, as Spark names it in an analyzed plan.
_ROW_BY_ROW = frozenset({"Project", "Filter", "Generate", "Expand", "SubqueryAlias"})
# To the microsecond, as events are: Spark's default cuts to milliseconds.
_JSON = {"timestampFormat": "yyyy-MM-dd'T'HH:mm:ss.SSSSSSXXX", "ignoreNullFields": "false"}

# In real-time mode a consumer asks all the time: a short wait would not be sooner, only more requests.
REAL_TIME_SOURCE = {"kafka.fetch.max.wait.ms": "500"}
_ONE_AFTER_THE_OTHER: Dict[str, Any] = {"processingTime": "0 seconds"}


def start_alerts(
    spark: SparkSession, pipeline: Pipeline, lake: Lake, bootstrap: str, epoch: timedelta
) -> StreamingQuery:
    """Starts (or resumes) the query of a pipeline's alerts. The first time it begins with what comes from then on.

    In real-time mode where the engine has it, where offsets are noted at the end of each `epoch`; elsewhere one
    micro-batch follows the other. An alert is delivered at least once: what was sent in an epoch that did not end is
    sent again. Raises UsageError where the transformation needs more than one event at a time, and where the
    checkpoint does not fit (see `jobs.manifest`).
    """
    topic, query = pipeline.topic, alerts_query(pipeline.name)
    source, trigger = (REAL_TIME_SOURCE, _real_time(epoch)) if _has_real_time() else ({}, _ONE_AFTER_THE_OTHER)
    records = decode(read_stream(spark, topic, bootstrap, {"startingOffsets": "latest", **source}), topic)
    alerts = alert_records(records, pipeline)
    checkpoint = lake.checkpoint(query, topic.name)
    fit_checkpoint(LakeFiles(spark), checkpoint, archive_facts(topic))
    writer = write_stream(spark, alerts, declared_alerts(pipeline).topic, bootstrap)
    writer = writer.queryName(query).outputMode("update").option("checkpointLocation", checkpoint)
    return writer.trigger(**trigger).start()


def alert_records(decoded: DataFrame, pipeline: Pipeline) -> DataFrame:
    """The Kafka records, `key` and `value`, of the alerts among decoded records.

    The key is the text of the key column, a JSON object where there are several. The value is a JSON object of the
    transformation's columns and of `_topic`, `_partition` and `_offset`, where the event lies in Kafka.
    """
    alerts = declared_alerts(pipeline)
    rows: DataFrame = alerts.load_transform()(events_of(decoded))
    _check_columns(rows, pipeline, alerts)
    _check_row_by_row(rows, pipeline, alerts)
    return rows.select(_key(alerts).alias("key"), _value(rows, pipeline.topic).alias("value"))


def _check_columns(rows: DataFrame, pipeline: Pipeline, alerts: Alerts) -> None:
    for column in (*alerts.key, *METADATA_COLUMNS):
        if column not in rows.columns:
            raise UsageError(
                f"alerts of pipeline {pipeline.name!r}: {alerts.transform} gives no column {column!r} (it gives"
                f" {', '.join(rows.columns)}); its key, and by which consumers recognise what is delivered twice, must"
                " be among them: keep it"
            )


def _check_row_by_row(rows: DataFrame, pipeline: Pipeline, alerts: Alerts) -> None:
    """On every engine: a pipeline that moves to one with real-time mode keeps its alerts."""
    nodes = (node for node in plan_nodes(rows) if node.children().size())  # others are where rows come from
    found = [f"the operator {name}" for name in map(_name, nodes) if name not in _ROW_BY_ROW]
    if calls_python(rows):
        found.append("a function of Python")
    if found:
        raise UsageError(
            f"alerts of pipeline {pipeline.name!r}: {alerts.transform} has {found[0]}, which real-time mode does not"
            " take: an alert is made of one event by Spark's own functions; filter, compute and explode, and leave"
            " the rest to the pipeline's own transformation"
        )


def _name(node: Any) -> str:
    return str(node.nodeName())


def _key(alerts: Alerts) -> Column:
    return F.col(alerts.key[0]).cast("string") if len(alerts.key) == 1 else F.to_json(F.struct(*alerts.key), _JSON)


def _value(rows: DataFrame, topic: Topic) -> Column:
    columns = [name for name in rows.columns if name not in METADATA_COLUMNS]
    return F.to_json(F.struct(*columns, F.lit(topic.name).alias("_topic"), *METADATA_COLUMNS), _JSON)


def _has_real_time() -> bool:
    """By what the engine can do: Databricks has real-time mode in runtimes whose Spark calls itself 4.0."""
    return "realTime" in inspect.signature(DataStreamWriter.trigger).parameters


def _real_time(epoch: timedelta) -> Dict[str, Any]:
    return {"realTime": f"{int(epoch.total_seconds() * 1000)} milliseconds"}

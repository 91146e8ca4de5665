"""The events behind a key of an answer, as the raw archive has them."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from jobs.errors import MillraceError
from jobs.interval import Interval, floor_to
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.tables import binned, open_table, query, query_version

__all__ = ["key_events", "key_events_as_of"]

_STEP = timedelta(milliseconds=1)


def key_events(
    environment: Environment, pipeline: Pipeline, span: Interval, key: Mapping[str, str]
) -> list[dict[str, Any]]:
    """Rows of the raw archive in the span of event time whose fields are those of the key, by partition and offset."""
    table = open_table(environment, Lake(environment.lake).raw(pipeline.topic.name))
    return _within(query(table, _selection(pipeline, span, key)) if table else [], pipeline, span)


def key_events_as_of(
    environment: Environment, pipeline: Pipeline, span: Interval, key: Mapping[str, str], version: int
) -> list[dict[str, Any]]:
    """The same as of a version of the archive. Raises MillraceError where that is not kept any more."""
    uri = Lake(environment.lake).raw(pipeline.topic.name)
    found = query_version(environment, uri, version, _selection(pipeline, span, key))
    if found is None:
        raise MillraceError(
            f"pipeline {pipeline.name!r}: the run read version {version} of raw/{pipeline.topic.name}, which is not"
            " kept any more (for 30 days it is), so nobody can tell which records it counted; `millrace reprocess"
            f" {pipeline.name}` with the interval makes a run that can be explained"
        )
    return _within(found, pipeline, span)


def _within(rows: list[dict[str, Any]], pipeline: Pipeline, span: Interval) -> list[dict[str, Any]]:
    return [row for row in rows if span.start <= row["event"][pipeline.topic.event_time] < span.end]


def _selection(pipeline: Pipeline, span: Interval, key: Mapping[str, str]) -> str:
    """SQL of the rows, and perhaps of some a few milliseconds before and after the span (see `binned`)."""
    last = span.end - timedelta(microseconds=1)
    near = binned(pipeline.topic.event_time, _STEP)
    first_step, last_step = (f"TIMESTAMP '{floor_to(edge, _STEP).isoformat()}'" for edge in (span.start, last))
    where = [
        f"event_date BETWEEN DATE '{span.start.date()}' AND DATE '{last.date()}'",
        f"{near} BETWEEN {first_step} AND {last_step}",
    ]
    fields = {field.name for field in pipeline.topic.fields}
    for name, text in key.items():
        if name in fields and name != pipeline.row_time:
            where.append(f"CAST(event['{name}'] AS VARCHAR) = '{text.replace(chr(39), 2 * chr(39))}'")
    columns = '"partition", "offset", event, "timestamp", archived_at, redecoded_at'
    return f'SELECT {columns} FROM rows WHERE {" AND ".join(where)} ORDER BY "partition", "offset"'

"""Why the layers answer one key differently: the raw records behind it, and what each layer did with them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any

from jobs.errors import MillraceError, UsageError
from jobs.interval import Interval
from jobs.journal import Read, Reads, offset_ranges, speed_reads
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from jobs.verdicts import BEFORE_STREAM, OTHER_VERSION, UNEXPLAINED, verdict
from jobs.windows import Sessions
from millrace.environment import Environment
from millrace.lake.conclusion import COUNTED, cause_of, equals, reason, rows_removed
from millrace.lake.declared import declared
from millrace.lake.key_events import key_events, key_events_as_of
from millrace.lake.other_decoder import read_otherwise
from millrace.lake.published import publication_of
from millrace.lake.serving import preferred_versions
from millrace.lake.session_verdicts import session_verdicts
from millrace.lake.speed_log import SpeedLog
from millrace.lake.speed_removal import as_compared, removed_at
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table, query
from millrace.lake.text_files import TextFiles
from millrace.moments import parse_moment

__all__ = ["COUNTED", "Explanation", "Record", "explain", "newest_result", "publication_state"]

_NOT_IN_RUN = "arrived after the run"
_SHOULD_HAVE = "should have counted"


@dataclass(frozen=True)
class Record:
    """A raw record behind a key. `batch` and `speed` say what the layer did with it: counted it, or why it did not.

    Where the speed layer's answer is unexplained, nobody knows what it counted, only what it should have. `read` is the
    micro-batch of the speed layer that read it, if any did.
    """

    partition: int
    offset: int
    event: dict[str, Any]
    timestamp: datetime
    archived_at: datetime
    batch: str
    speed: str
    read: Read | None


@dataclass(frozen=True)
class Explanation:
    """`began_at`: when the run began, which then read what it counted (ISO 8601); None of one by an older Millrace.

    `batch` and `speed`: the rows of the layers, None where one has none. `cause` of their difference: None where there
    is none, or the run does not tell; `why`: in words. `published`: whether the run is; `partial`: why what is
    published of the interval is partial. `read_otherwise`: how many records of the interval's days the archive has as
    another decoder than the version's read them; `records` are as the archive has them.
    """

    run: str
    began_at: str | None
    version: str
    published: bool
    partial: list[str]
    cause: str | None
    why: str
    batch: dict[str, Any] | None
    speed: dict[str, Any] | None
    records: list[Record]
    read_otherwise: int


def newest_result(
    environment: Environment, pipeline: Pipeline, interval: Interval, version: str | None = None
) -> dict[str, Any]:
    """What the newest run of the interval under `version` wrote, published or not; by default, under the first of the
    served versions that has run it. Raises MillraceError where there is none."""
    store, versions = LakeStore(environment), (version,) if version else preferred_versions(environment, pipeline)
    for each in versions:
        if found := store.read_json(Lake("").newest_result(pipeline.name, each, interval.id)):
            return as_compared(environment, pipeline.name, interval.id, found)
    raise MillraceError(
        f"pipeline {pipeline.name!r}: interval {interval.id} has never been reprocessed under version"
        f" {' or '.join(versions)}, so nothing was compared; run `millrace reprocess {pipeline.name}"
        f" {f'--version {version} ' if version else ''}{interval.id}` first"
    )


def explain(
    environment: Environment,
    pipeline: Pipeline,
    interval: Interval,
    key: Mapping[str, str],
    version: str | None = None,
) -> Explanation:
    """The records behind `key` in the interval's newest run (see `newest_result`), by partition and offset.

    `key` has every key column, as text. A record belongs to it when its fields of the same names are equal and, where
    `row_time` is one of the columns, its event time lies in the window that it names; of a session, up to where either
    layer's row says that it ends. Raises UsageError for a key that is not that of the run's version, MillraceError
    where the interval has not been reprocessed, or so long ago that what the run read is not kept any more.
    """
    result = newest_result(environment, pipeline, interval, version)
    pipeline = declared(environment, pipeline, result["version"])
    if set(key) != set(pipeline.key):
        raise UsageError(
            f"key {', '.join(key) or 'without columns'} is not that of pipeline {pipeline.name!r} in version"
            f" {result['version']}; give every column of it, as in {' '.join(f'{name}=…' for name in pipeline.key)}"
        )
    where = f"_interval = '{interval.id}'"
    batch = f"{where} AND _run = '{result['run']}'"
    compared = "" if result["speed_batch"] is None else f" AND _batch_id <= {result['speed_batch']}"
    speed = f"{where} AND _version = '{result['version']}'{compared} ORDER BY _batch_id DESC"
    lake = Lake(environment.lake)
    in_batch = _row(environment, lake.batch(pipeline.name), batch, key)
    in_speed = _row(environment, lake.speed(pipeline.name), speed, key)
    span = _span(pipeline, interval, key, [in_batch, in_speed])
    records = list(_records(environment, pipeline, interval, key, result, span))
    cause, why = _conclusion(environment, pipeline, interval, key, result, in_batch, in_speed, records)
    if cause == UNEXPLAINED:
        records = [replace(each, speed=_SHOULD_HAVE) if each.speed == COUNTED else each for each in records]
    state = publication_state(environment, pipeline, interval, result)
    otherwise = read_otherwise(environment, pipeline, interval, result["version"])
    run = (result["run"], result.get("began_at"), result["version"])
    return Explanation(*run, *state, cause, why, in_batch, in_speed, records, otherwise)


def publication_state(
    environment: Environment, pipeline: Pipeline, interval: Interval, result: Mapping[str, Any]
) -> tuple[bool, list[str]]:
    """Whether the run of a result is published, and why what its version has published of the interval is partial."""
    found = publication_of(environment, pipeline, interval, result["version"])
    return (found.run == result["run"], found.partial) if found else (False, [])


def _span(
    pipeline: Pipeline, interval: Interval, key: Mapping[str, str], rows: list[dict[str, Any] | None]
) -> Interval:
    """The event times of the key's records; of the whole interval where the key does not tell the window."""
    if pipeline.row_time not in key:
        return interval
    row_time, windows = parse_moment(pipeline.row_time, key[pipeline.row_time]), pipeline.windows
    if not isinstance(windows, Sessions):
        return Interval(*windows.of_row(row_time))
    return Interval(row_time, max([row_time + windows.gap, *(row[windows.end] for row in rows if row)]))


def _row(environment: Environment, uri: str, where: str, key: Mapping[str, str]) -> dict[str, Any] | None:
    """The first row of the key, less the columns that are Millrace's own."""
    table = open_table(environment, uri)
    for row in query(table, f"SELECT * FROM rows WHERE {where}") if table else ():
        if all(equals(row[name], text) for name, text in key.items()):
            return {name: value for name, value in row.items() if not name.startswith("_")}
    return None


def _conclusion(
    environment: Environment,
    pipeline: Pipeline,
    interval: Interval,
    key: Mapping[str, str],
    result: Mapping[str, Any],
    in_batch: dict[str, Any] | None,
    in_speed: dict[str, Any] | None,
    records: list[Record],
) -> tuple[str | None, str]:
    """The cause of the difference between the layers' rows of the key, and why they answer so, in words."""
    if removed := None if in_speed else _rows_removed_at(environment, pipeline, interval, result["version"]):
        return None, rows_removed(removed)
    near, layers = pipeline.float_tolerance, [(each.batch, each.speed) for each in records]
    lacking = [speed for batch, speed in layers if batch == COUNTED]
    cause = cause_of(key, result, in_batch, in_speed, lacking, near)
    return cause, reason(cause, in_batch, in_speed, layers, result, near)


def _rows_removed_at(environment: Environment, pipeline: Pipeline, interval: Interval, version: str) -> datetime | None:
    """When the speed layer's rows of the interval were removed; None where it has any, or nobody removed them."""
    moment = removed_at(environment, pipeline.name, interval.id)  # first: the log takes longer to read than a note
    if moment is None or interval.id in SpeedLog(environment, pipeline).intervals().get(version, {}):
        return None
    return moment


def _records(
    environment: Environment,
    pipeline: Pipeline,
    interval: Interval,
    key: Mapping[str, str],
    result: dict[str, Any],
    span: Interval,
) -> Iterator[Record]:
    found = key_events(environment, pipeline, span, key)
    in_run = {_place(row) for row in key_events_as_of(environment, pipeline, span, key, result["raw_version"])}
    is_session = isinstance(pipeline.windows, Sessions)
    nearby = key_events(environment, pipeline, pipeline.reads(interval), key) if is_session else found
    files = TextFiles(LakeStore(environment))
    reads = speed_reads(files, Lake(""), pipeline, result["version"], offset_ranges(map(_place, [*found, *nearby])))
    verdicts = _verdicts(reads, nearby, pipeline, span, result)
    for row in found:
        read = reads.find(*_place(row)) if reads else None
        yield Record(
            partition=row["partition"],
            offset=row["offset"],
            event=row["event"],
            timestamp=row["timestamp"],
            archived_at=row["archived_at"],
            batch=COUNTED if _place(row) in in_run else _NOT_IN_RUN,
            speed=verdicts[_place(row)] or COUNTED,
            read=read,
        )


def _verdicts(
    reads: Reads | None, rows: list[dict[str, Any]], pipeline: Pipeline, span: Interval, result: dict[str, Any]
) -> dict[tuple[int, int], str | None]:
    """By place, why the speed layer's row lacks the event; None where it has it."""
    if reads is None:
        other = OTHER_VERSION in ((result["parity"] or {}).get("causes") or {})
        return dict.fromkeys(map(_place, rows), OTHER_VERSION if other else BEFORE_STREAM)
    event_time, windows = pipeline.topic.event_time, pipeline.windows
    if isinstance(windows, Sessions):
        return session_verdicts(rows, event_time, windows.gap, reads, span.start)
    found: dict[tuple[int, int], str | None] = {}
    for row in rows:
        place, redecoded = _place(row), row["redecoded_at"] is not None
        # Without the window in the key they tumble, and the event has one.
        end = span.end if pipeline.row_time in pipeline.key else next(windows.of_event(row["event"][event_time]))[1]
        found[place] = verdict(reads, reads.find(*place), *place, end, redecoded)
    return found


def _place(row: dict[str, Any]) -> tuple[int, int]:
    return row["partition"], row["offset"]

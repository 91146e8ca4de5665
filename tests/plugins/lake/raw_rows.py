"""Events in a raw archive, written by delta-rs; and publications that say how many of them a run read."""

from __future__ import annotations

import itertools
import json
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from urllib.parse import urlparse

import pyarrow as pa
from deltalake import DeltaTable, write_deltalake

from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.published import Publication, publish
from tests.plugins.lake.folder_blobs import FolderAccount
from tests.plugins.lake.lake_rows import certificate

_UTC = pa.timestamp("us", tz="UTC")
_EVENT = pa.struct([("symbol", pa.string()), ("event_time", _UTC)])
_RUNS = itertools.count()
_ARRIVED = datetime(2026, 12, 1, tzinfo=UTC)


def local_environment(folder: Path) -> Environment:
    """An empty lake in a local folder, its small files too: it needs no stack."""
    key = folder / "key"
    key.write_text("none", encoding="utf-8")
    storage = FolderAccount("account", "lake", "http://127.0.0.1:1/account", key)
    return Environment("test", "fake", "127.0.0.1:2", {}, (folder / "lake").as_uri(), storage)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).replace(tzinfo=UTC)


def archive(
    environment: Environment, *times: datetime | str | None, topic: str = "stock_ticks", value: bytes | None = b"{}"
) -> None:
    """Adds an event per time, in one commit; None is a dead letter."""
    moments = [at(time) if isinstance(time, str) else time for time in times]
    rows = pa.table(
        {
            "value": pa.array([value] * len(moments), pa.binary()),
            "partition": pa.array([0] * len(moments), pa.int32()),
            "offset": pa.array(range(len(moments)), pa.int64()),
            "event": pa.array([moment and {"symbol": "A", "event_time": moment} for moment in moments], _EVENT),
            "event_date": pa.array([moment and moment.date() for moment in moments], pa.date32()),
            "timestamp": pa.array(len(moments) * [_ARRIVED], _UTC),
            "archived_at": pa.array(len(moments) * [_ARRIVED], _UTC),
            "redecoded_at": pa.nulls(len(moments), _UTC),
        }
    )
    uri = raw_uri(environment, topic)
    options = environment.delta_options()
    write_deltalake(uri, rows, mode="append", partition_by=["event_date"], storage_options=options)


def publish_read(environment: Environment, pipeline: Pipeline, interval: Interval, rows_read: int) -> bool:
    """Publishes a new run of the newest archive that read so many events."""
    run = f"run-{next(_RUNS)}"
    raw = certificate(DeltaTable(raw_uri(environment), storage_options=environment.delta_options()).version())
    result = {"rows_read": rows_read}
    return publish(environment, pipeline, interval, run=run, version="v1", certificate=raw, result=result)


def publication(interval: Interval, rows_read: int) -> Publication:
    """As it would be read back; in no table."""
    return Publication("stock_high_low", interval, "run", "v1", 0, {}, {"rows_read": rows_read}, interval.end)


def raw_uri(environment: Environment, topic: str = "stock_ticks") -> str:
    return Lake(environment.lake).raw(topic)


def raw_folder(environment: Environment) -> Path:
    return Path(urlparse(raw_uri(environment)).path)


def forget_statistics(environment: Environment, day: str) -> int:
    """Removes what the log says of this day's files, as some writers do; how many files that were."""
    changed = 0
    for log in (raw_folder(environment) / "_delta_log").glob("*.json"):
        actions = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines()]
        for action in actions:
            if action.get("add", {}).get("partitionValues", {}).get("event_date") == day:
                action["add"]["stats"] = None
                changed += 1
        log.write_text("\n".join(map(json.dumps, actions)), encoding="utf-8")
    return changed


def delete_data(environment: Environment, days: Sequence[str]) -> None:
    """Leaves the log as it is, so that who reads these days' files fails."""
    for day in days:
        for file in (raw_folder(environment) / f"event_date={day}").glob("*.parquet"):
            file.unlink()

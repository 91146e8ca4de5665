"""The dead letters of a topic's raw archive: counted, looked at, exported. No Spark."""

from __future__ import annotations

import base64
import json
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from jobs.errors import MillraceError, UsageError
from jobs.lake import Lake, archive_query
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.tables import open_table

__all__ = ["DeadLetters", "Reason", "open_dead_letters"]

_NAMES = (
    "topic",
    "partition",
    "offset",
    "timestamp",
    "timestamp_type",
    "archived_at",
    "error",
    "key",
    "value",
    "headers",
)
_COLUMNS = ", ".join(f'"{name}"' for name in _NAMES)


@dataclass(frozen=True)
class Reason:
    """How many dead letters have a reason, and the Kafka timestamps of the first and the last of them."""

    reason: str
    count: int
    first: datetime
    last: datetime


class DeadLetters:
    """The dead letters of one version of an archive that match a filter. Every method reads the lake."""

    def __init__(self, table: Any, where: str) -> None:
        self._table = table
        self._where = where

    def reasons(self) -> list[Reason]:
        """The reasons (an error's text up to its first ": "), most frequent first."""
        reason, span = "split_part(error, ': ', 1) AS reason", 'min("timestamp") AS first, max("timestamp") AS last'
        grouped = f"WHERE {self._where} GROUP BY reason ORDER BY count DESC, reason"
        sql = f"SELECT {reason}, count(*) AS count, {span} FROM raw {grouped}"
        return [Reason(**row) for row in self._rows(sql)]

    def newest(self, limit: int) -> list[dict[str, Any]]:
        """The last `limit` by their Kafka timestamp, newest first: the archive's columns, bytes as bytes."""
        order = '"timestamp" DESC, "partition", "offset" DESC'
        return list(self._rows(f"SELECT {_COLUMNS} FROM raw WHERE {self._where} ORDER BY {order} LIMIT {limit}"))

    def export(self, path: Path) -> int:
        """Writes all of them to a new file, one JSON object a line; `key`, `value` and headers' values in base64.

        Returns their number. Raises UsageError when the file exists already, or its folder does not.
        """
        try:
            file = path.open("x", encoding="utf-8")
        except FileExistsError:
            raise UsageError(f"{path} exists; an export overwrites nothing: name another file") from None
        except OSError as error:
            raise UsageError(f"{path} cannot be created: {error.strerror}; name another file") from error
        written = 0
        try:
            with file:
                for row in self._rows(f"SELECT {_COLUMNS} FROM raw WHERE {self._where}"):
                    file.write(json.dumps(_exact(row), ensure_ascii=False) + "\n")
                    written += 1
        except BaseException:
            path.unlink()  # half an export looks like a whole one
            raise
        return written

    def _rows(self, sql: str) -> Iterator[dict[str, Any]]:
        import pyarrow as pa
        from deltalake import QueryBuilder

        reader = pa.RecordBatchReader.from_stream(QueryBuilder().register("raw", self._table).execute(sql))
        for batch in reader:
            yield from batch.to_pylist()


def open_dead_letters(
    environment: Environment,
    topic: Topic,
    reason: str | None = None,
    since: datetime | None = None,
    until: datetime | None = None,
) -> DeadLetters:
    """Those whose error begins with `reason` and whose Kafka timestamp lies in `[since, until)`; by default all.

    Raises MillraceError where the topic has no archive yet.
    """
    table = open_table(environment, Lake(environment.lake).raw(topic.name))
    if table is None:
        query = archive_query(topic.name)
        raise MillraceError(
            f"topic {topic.name!r} has no archive yet;"
            f" unpause the DAG {query!r}, or run `millrace archive {topic.name}`"
        )
    conditions = ["event_date IS NULL"]
    if reason is not None:
        conditions.append(f"starts_with(error, {_literal(reason)})")
    for moment, sign in ((since, ">="), (until, "<")):
        if moment is not None:
            conditions.append(f"\"timestamp\" {sign} TIMESTAMP '{moment.isoformat()}'")
    return DeadLetters(table, " AND ".join(conditions))


def _exact(row: dict[str, Any]) -> dict[str, Any]:
    headers = row["headers"]
    return {
        **{name: value.isoformat() if isinstance(value, datetime) else value for name, value in row.items()},
        "key": _base64(row["key"]),
        "value": _base64(row["value"]),
        "headers": None if headers is None else [{**each, "value": _base64(each["value"])} for each in headers],
    }


def _base64(content: bytes | None) -> str | None:
    return None if content is None else base64.b64encode(content).decode("ascii")


def _literal(text: str) -> str:
    """As SQL writes a string: what a person typed cannot end it."""
    return "'" + text.replace("'", "''") + "'"

"""Dead letters on real Azure Storage: counted by reason, filtered, and exported with every byte."""

from __future__ import annotations

import base64
import json
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.errors import MillraceError, UsageError
from jobs.topics import stock_ticks
from millrace.environment import Environment
from millrace.lake.dead_letters import open_dead_letters
from tests.plugins.lake.archive_rows import RECEIVED, dead_letter, event, write_archive

HOUR = timedelta(hours=1)
HEADERS = [{"key": "trace", "value": b"\x00\xff"}, {"key": "trace", "value": None}]


@pytest.fixture
def archive(own_lake: Environment) -> Environment:
    """Two micro-batches: an event, and dead letters of three reasons over three hours."""
    write_archive(
        own_lake,
        event(0, RECEIVED),
        dead_letter(1, b'{"price":"x"}', "wrong type: price", timestamp=RECEIVED),
        dead_letter(2, b'{"volume":1.5}', "wrong type: volume", timestamp=RECEIVED + HOUR),
        dead_letter(3, None, "null value", timestamp=RECEIVED + HOUR, key=b"\x80", headers=HEADERS),
    )
    write_archive(
        own_lake, dead_letter(4, b"\xff\xfe", "it's: invalid", timestamp=RECEIVED + 2 * HOUR), event(5, RECEIVED)
    )
    return own_lake


def offsets(environment: Environment, **given: object) -> list[int]:
    rows = open_dead_letters(environment, stock_ticks, **given).newest(100)  # type: ignore[arg-type]
    return [row["offset"] for row in rows]


def test_reasons_are_what_errors_say_before_their_detail(archive: Environment) -> None:
    found = open_dead_letters(archive, stock_ticks).reasons()
    assert [(each.reason, each.count, each.first - RECEIVED, each.last - RECEIVED) for each in found] == [
        ("wrong type", 2, 0 * HOUR, HOUR),
        ("it's", 1, 2 * HOUR, 2 * HOUR),
        ("null value", 1, HOUR, HOUR),
    ]


def test_the_newest_come_first(archive: Environment) -> None:
    assert offsets(archive) == [4, 3, 2, 1]
    (newest,) = open_dead_letters(archive, stock_ticks).newest(1)
    assert (newest["offset"], newest["value"], newest["timestamp"]) == (4, b"\xff\xfe", RECEIVED + 2 * HOUR)


@pytest.mark.parametrize(
    ("reason", "expected"),
    [
        ("wrong type", [2, 1]),
        ("wrong type: volume", [2]),
        ("wrong%", []),
        ("it's", [4]),
        ("' OR '1' = '1", []),
        ("", [4, 3, 2, 1]),
    ],
)
def test_a_reason_is_the_beginning_of_the_error(archive: Environment, reason: str, expected: list[int]) -> None:
    assert offsets(archive, reason=reason) == expected


def test_bounds_are_kafka_timestamps_from_inclusive_to_exclusive(archive: Environment) -> None:
    assert offsets(archive, since=RECEIVED + HOUR, until=RECEIVED + 2 * HOUR) == [3, 2]


def test_an_export_holds_every_byte(archive: Environment, tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    assert open_dead_letters(archive, stock_ticks).export(path) == 4
    found = {row["offset"]: row for row in map(json.loads, path.read_text().splitlines())}
    assert sorted(found) == [1, 2, 3, 4]
    assert base64.b64decode(found[4]["value"]) == b"\xff\xfe"
    assert found[4]["headers"] is None
    assert found[3] == {
        "topic": "stock_ticks",
        "partition": 0,
        "offset": 3,
        "timestamp": "2026-11-20T13:00:00+00:00",
        "timestamp_type": 0,
        "archived_at": "2026-11-20T12:00:00+00:00",
        "error": "null value",
        "key": base64.b64encode(b"\x80").decode(),
        "value": None,
        "headers": [{"key": "trace", "value": base64.b64encode(b"\x00\xff").decode()}, {"key": "trace", "value": None}],
    }


def test_an_export_overwrites_nothing(archive: Environment, tmp_path: Path) -> None:
    path = tmp_path / "dead.jsonl"
    path.write_text("mine")
    with pytest.raises(UsageError, match=r"dead.jsonl exists; an export overwrites nothing: name another file"):
        open_dead_letters(archive, stock_ticks).export(path)
    assert path.read_text() == "mine"
    with pytest.raises(UsageError, match="cannot be created: No such file or directory"):
        open_dead_letters(archive, stock_ticks).export(tmp_path / "nowhere" / "dead.jsonl")


def test_an_export_that_fails_leaves_no_file(archive: Environment, tmp_path: Path) -> None:
    letters = open_dead_letters(archive, stock_ticks)
    letters._where = "no_such_column = 1"
    with pytest.raises(Exception, match="no_such_column"):
        letters.export(tmp_path / "dead.jsonl")
    assert list(tmp_path.iterdir()) == []


def test_an_archive_without_dead_letters_has_none(own_lake: Environment) -> None:
    write_archive(own_lake, event(0, RECEIVED))
    letters = open_dead_letters(own_lake, stock_ticks)
    assert (letters.reasons(), letters.newest(5)) == ([], [])


def test_a_topic_without_an_archive_is_named_with_the_remedy(own_lake: Environment) -> None:
    with pytest.raises(MillraceError, match="'stock_ticks' has no archive yet; unpause the DAG 'archive__stock_ticks'"):
        open_dead_letters(own_lake, stock_ticks)

"""The whole pipeline from the command line, without Airflow, from `up` to `down`."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from millrace.environment import load_environment
from millrace.home import Home
from tests.end_to_end.newcomer import Newcomer
from tests.end_to_end.streams import ARCHIVE, SPEED, STREAMS, await_true
from tests.end_to_end.topic_oracle import decode, high_low, read_topic

pytestmark = [pytest.mark.release, pytest.mark.stack, pytest.mark.timeout(900)]

# It ended more than the allowed lateness ago: its run waits for nothing.
DAY = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=3)
MEASURES = ("open", "high", "low", "close", "volume", "count")


@pytest.fixture
def newcomer(tmp_path: Path) -> Iterator[Newcomer]:
    newcomer = Newcomer(Home(tmp_path / "home"))
    yield newcomer
    newcomer.run("down")


def test_the_command_line_does_all_of_it_without_airflow_and_tells_each_streams_lag_to_the_record(
    newcomer: Newcomer,
) -> None:
    newcomer.run("up", "--no-airflow")
    assert {each["name"] for each in newcomer.json("status")["processes"]} == {"kafka", "azurite"}
    sent = produce(newcomer, DAY, 3000, "--garbage", "0.02", "--duplicates", "0.01", "--disorder", "0.05")
    newcomer.run("archive", "stock_ticks", "--trigger", "1", "--detach")
    newcomer.run("speed", "stock_high_low", "--detach")
    await_true("both streams at Kafka's end", lambda: lags(newcomer) == {ARCHIVE: 0, SPEED: 0})

    kafka = load_environment("local", home=newcomer.home).kafka_bootstrap
    records = read_topic(kafka, "stock_ticks")
    assert len(records) == sent
    expected = high_low(records)
    assert view(newcomer) == ({"speed"}, expected)
    [run] = newcomer.json("reprocess", "stock_high_low", f"{DAY:%Y-%m-%d}")["intervals"]
    assert (run["published"], run["rows_read"]) == (True, sum(decode(record) is not None for record in records))
    assert view(newcomer) == ({"batch"}, expected)

    assert newcomer.run("speed", "stock_high_low", "--stop").endswith(": stopped\n")
    unread = produce(newcomer, DAY + timedelta(days=1), 500)
    await_true("the archive at Kafka's end", lambda: lags(newcomer) == {ARCHIVE: 0, SPEED: unread})
    newcomer.run("archive", "stock_ticks", "--stop")
    more = produce(newcomer, DAY + timedelta(days=1), 70)
    assert lags(newcomer) == {ARCHIVE: more, SPEED: unread + more}

    assert re.findall(r"^(kafka|azurite): stopped$", newcomer.run("down"), re.MULTILINE) == ["kafka", "azurite"]
    assert newcomer.left() == []


def produce(newcomer: Newcomer, start: datetime, count: int, *knobs: str) -> int:
    """How many records Kafka acknowledged."""
    words = ("--start", start.isoformat(), "--count", str(count), "--rate", "0.1", *knobs)
    summary = newcomer.json("produce", *words)
    assert summary["acknowledged"] == count
    return int(summary["acknowledged"])


def lags(newcomer: Newcomer) -> dict[str, int]:
    told = {each["query"]: each["lag"] for each in newcomer.json("status")["streams"]}
    return {query: told[STREAMS[query]] for query in (ARCHIVE, SPEED)}


def view(newcomer: Newcomer) -> tuple[set[str], dict[tuple[str, datetime], dict[str, Any]]]:
    """Which layers the day's rows are of, and the rows in the oracle's form."""
    rows = newcomer.json("view", "stock_high_low", "--start", f"{DAY:%Y-%m-%d}")
    found = {(row["symbol"], datetime.fromisoformat(row["window_start"])): measures(row) for row in rows}
    assert len(found) == len(rows), "a key is in the view twice"
    return {row["_layer"] for row in rows}, found


def measures(row: dict[str, Any]) -> dict[str, Any]:
    exact = {name: Decimal(str(row[name])) for name in ("open", "high", "low", "close")}
    return {name: exact.get(name, row[name]) for name in MEASURES}

"""The batch layer's progress records: late and pending late events, as they were whenever they were recorded."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

from jobs.interval import Interval
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.late_records import late_records, record_look_back, record_publication
from millrace.lake.pending_late import look_back
from millrace.lake.published import publish
from millrace.lake.store import LakeStore
from tests.plugins.lake.lake_rows import certificate
from tests.plugins.lake.raw_rows import archive, at, publish_read

DAY = timedelta(days=1)
FIRST, SECOND, THIRD = (Interval.parse(f"2026-11-{number}", DAY) for number in (10, 18, 19))


def recorded(environment: Environment, *names: str) -> list[tuple]:
    return [tuple(record[name] for name in names) for record in late_records(environment, stock_high_low)]


def test_a_publication_is_recorded_with_what_was_late_for_it_and_what_came_since_its_run_read(
    own_lake: Environment,
) -> None:
    archive(own_lake, "2026-11-18T08:00", "2026-11-18T09:00", "2026-11-18T09:01")
    late = {"events": 3, "windows": [["2026-11-18T08:00:00+00:00", 2], ["2026-11-18T09:00:00+00:00", 1]]}
    before = datetime.now(UTC)
    publish(
        own_lake,
        stock_high_low,
        SECOND,
        run="r1",
        version="v1",
        certificate=certificate(0),
        result={"rows_read": 2, "late": late},
    )
    record_publication(own_lake, stock_high_low, SECOND, "v1")
    (record,) = late_records(own_lake, stock_high_low)
    assert before <= datetime.fromisoformat(record.pop("at")) <= datetime.now(UTC)
    assert record == {
        "interval": SECOND.id,
        "version": "v1",
        "run": "r1",
        "late": 3,
        "late_windows": 2,
        "late_by_window": [["2026-11-18T08:00:00+00:00", 2], ["2026-11-18T09:00:00+00:00", 1]],
        "late_windows_cut": 0,
        "pending_late": 1,
        "partial": False,
    }


def test_a_look_back_records_what_it_reaches_and_older_intervals_that_late_events_reached(
    own_lake: Environment,
) -> None:
    archive(own_lake, "2026-11-10T08:00", "2026-11-11T08:00", "2026-11-18T08:00", "2026-11-19T08:00")
    for each in (FIRST, FIRST.following(), SECOND, THIRD):
        publish_read(own_lake, stock_high_low, each, 1)
    archive(own_lake, "2026-11-10T09:00", "2026-11-18T09:00", "2026-11-18T10:00", "2026-11-19T11:00")
    record_look_back(own_lake, look_back(own_lake, stock_high_low), at("2026-11-19T02:00"), timedelta(days=7))
    assert recorded(own_lake, "interval", "pending_late", "late") == [(FIRST.id, 1, None), (SECOND.id, 2, None)]


def test_where_nothing_is_published_there_is_no_record(own_lake: Environment) -> None:
    record_look_back(own_lake, look_back(own_lake, stock_high_low), at("2026-11-19T02:00"), timedelta(days=7))
    record_publication(own_lake, stock_high_low, FIRST, "v1")
    assert recorded(own_lake, "interval") == []


def test_lines_that_many_processes_add_at_once_are_all_there_and_whole(own_lake: Environment) -> None:
    lines = [json.dumps({"writer": number, "padding": "x" * 20_000}) for number in range(40)]
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda line: LakeStore(own_lake).append("progress/q/day.jsonl", f"{line}\n".encode()), lines))
    assert sorted(LakeStore(own_lake).read_lines("progress/q/day.jsonl")) == sorted(lines)

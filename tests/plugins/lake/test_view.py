"""The serving view joins the layers at the interval: no hole, no double, at any moment."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from decimal import Decimal

import pyarrow as pa

from jobs.accepted_losses import AcceptedLoss, LostRange
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.version import fingerprint
from millrace.environment import Environment
from millrace.lake.published import publish
from millrace.lake.served import served_intervals
from millrace.lake.serving import begin_serving, rollback, switch
from millrace.lake.store import LakeStore
from millrace.lake.view import read_view
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_speed

INTERVALS = 4
CODE = fingerprint(stock_high_low)


def publish_run(
    environment: Environment,
    number: int,
    run: str,
    raw_version: int = 1,
    partial: Sequence[str] = (),
    version: str = CODE,
) -> None:
    publish(
        environment,
        stock_high_low,
        interval(number),
        run=run,
        version=version,
        certificate=replace(certificate(raw_version), partial=list(partial)),
        result={"rows_read": 3},
    )


def layers(view: pa.Table) -> dict[str, set[str]]:
    found: dict[str, set[str]] = {}
    for row in view.to_pylist():
        found.setdefault(row["_interval"], set()).add(f"{row['_layer']} {row['high']}")
    return found


def test_an_empty_lake_has_an_empty_view(own_lake: Environment) -> None:
    assert read_view(own_lake, stock_high_low).num_rows == 0


def test_speed_rows_are_the_newest_per_key_of_the_current_version(own_lake: Environment) -> None:
    write_speed(own_lake, interval(0), batch_id=2, high=20)
    write_speed(own_lake, interval(0), batch_id=10, high=100)
    write_speed(own_lake, interval(0), batch_id=11, high=999, version="older code")
    assert layers(read_view(own_lake, stock_high_low)) == {interval(0).id: {"speed 100"}}


def test_a_published_interval_is_served_by_its_run_and_by_nothing_else(own_lake: Environment) -> None:
    for number in (0, 1):
        write_speed(own_lake, interval(number), batch_id=1, high=1)
    write_batch(own_lake, interval(0), "abandoned", high=5)
    write_batch(own_lake, interval(0), "good", high=6)
    publish_run(own_lake, 0, "good")
    assert layers(read_view(own_lake, stock_high_low)) == {interval(0).id: {"batch 6"}, interval(1).id: {"speed 1"}}


def test_the_rows_of_a_partial_interval_are_marked_until_a_complete_run_is_published(own_lake: Environment) -> None:
    for number, run in enumerate(("r0", "r1")):
        write_batch(own_lake, interval(number), run, high=5)
    write_speed(own_lake, interval(2), batch_id=1, high=1)
    publish_run(own_lake, 0, "r0", partial=["the archive is behind Kafka"])
    publish_run(own_lake, 1, "r1")

    def marks() -> set[tuple[str, str, bool]]:
        rows = read_view(own_lake, stock_high_low).to_pylist()
        return {(row["_interval"], row["_layer"], row["_partial"]) for row in rows}

    others = {(interval(1).id, "batch", False), (interval(2).id, "speed", False)}
    assert marks() == {(interval(0).id, "batch", True)} | others
    write_batch(own_lake, interval(0), "complete", high=6)
    publish_run(own_lake, 0, "complete")
    assert marks() == {(interval(0).id, "batch", False)} | others


def test_a_view_of_speed_rows_alone_or_batch_rows_alone_has_the_mark(own_lake: Environment) -> None:
    write_speed(own_lake, interval(0), batch_id=1, high=1)
    assert read_view(own_lake, stock_high_low)["_partial"].to_pylist() == [False] * 3
    write_batch(own_lake, interval(0), "r", high=5)
    publish_run(own_lake, 0, "r", partial=["missing"])
    assert read_view(own_lake, stock_high_low)["_partial"].to_pylist() == [True] * 3


def test_the_intervals_say_which_are_partial(own_lake: Environment) -> None:
    write_batch(own_lake, interval(0), "r0", high=5)
    write_speed(own_lake, interval(2), batch_id=1, high=1)
    publish_run(own_lake, 0, "r0", partial=["missing"])
    publish_run(own_lake, 1, "without rows", partial=["missing"])
    served = served_intervals(own_lake, stock_high_low, read_view(own_lake, stock_high_low))
    assert {entry["interval"]: entry["partial"] for entry in served} == {
        interval(0).id: True,
        interval(1).id: True,
        interval(2).id: False,
    }


def test_an_interval_of_which_something_was_accepted_as_lost_is_partial_before_it_is_published(
    own_lake: Environment,
) -> None:
    for number in range(3):
        write_speed(own_lake, interval(number), batch_id=1, high=1)
    accept_loss(own_lake, since=interval(1).start + timedelta(hours=1), until=interval(1).end - timedelta(hours=1))
    view = read_view(own_lake, stock_high_low)
    assert {(row["_interval"], row["_partial"]) for row in view.to_pylist()} == {
        (interval(number).id, number == 1) for number in range(3)
    }
    entries = {entry["interval"]: entry for entry in served_intervals(own_lake, stock_high_low, view)}
    assert [entries[interval(number).id]["partial"] for number in range(3)] == [False, True, False]
    assert "accepted loss of 2 offsets of partition 0 (5 to 6) by ada" in entries[interval(1).id]["why_partial"]
    assert entries[interval(0).id]["why_partial"] is None


def accept_loss(environment: Environment, since: datetime, until: datetime) -> None:
    lost = [LostRange(0, 5, 7, "retention loss", since, until)]
    loss = AcceptedLoss("1", stock_high_low.topic.name, None, "ada", until, "why", {}, {}, lost)
    path = f"{Lake('').accepted_losses(stock_high_low.topic.name)}/1.json"
    LakeStore(environment).write_json(path, loss.to_json())


def test_an_interval_published_without_rows_hides_what_the_speed_layer_had(own_lake: Environment) -> None:
    write_speed(own_lake, interval(0), batch_id=1, high=1)
    write_batch(own_lake, interval(1), "r", high=1)
    publish_run(own_lake, 0, "empty")
    assert read_view(own_lake, stock_high_low).num_rows == 0


def test_bounds_are_start_inclusive_and_end_exclusive(own_lake: Environment) -> None:
    for number in range(3):
        write_speed(own_lake, interval(number), batch_id=1, high=1)
    view = read_view(own_lake, stock_high_low, start=interval(1).start, end=interval(2).start)
    assert set(layers(view)) == {interval(1).id}


def test_in_pandas_decimals_are_exact_and_times_are_utc(own_lake: Environment) -> None:
    price = Decimal("99999999999999.9999")
    assert Decimal(float(price)) != price, "a float would not hold it"
    write_speed(own_lake, interval(0), batch_id=1, high=1, close=price)
    frame = read_view(own_lake, stock_high_low).to_pandas()
    assert [(type(close), close) for close in frame["close"]] == [(Decimal, price)] * 3
    assert str(frame["window_start"].dtype) == "datetime64[us, UTC]"
    starts = [interval(0).start + timedelta(minutes=minute) for minute in range(3)]
    assert [start.to_pydatetime() for start in frame["window_start"]] == starts
    assert frame["_layer"].to_list() == ["speed"] * 3


def test_a_reader_under_publishing_sees_every_interval_once(own_lake: Environment) -> None:
    for number in range(INTERVALS):
        write_speed(own_lake, interval(number), batch_id=1, high=0)
    done = threading.Event()
    problems: list[object] = []
    reads = 0

    def read() -> None:
        nonlocal reads
        while not done.is_set():
            rows = Counter(row["_interval"] for row in read_view(own_lake, stock_high_low).to_pylist())
            reads += 1
            if rows != {interval(number).id: 3 for number in range(INTERVALS)}:
                problems.append(rows)

    reader = threading.Thread(target=read)
    reader.start()
    for raw_version in (1, 2):
        for number in range(INTERVALS):
            run = f"r{number}-{raw_version}"
            write_batch(own_lake, interval(number), run, high=raw_version)
            publish_run(own_lake, number, run, raw_version)
    done.set()
    reader.join()
    assert reads > 5
    assert problems == []
    assert layers(read_view(own_lake, stock_high_low)) == {interval(n).id: {"batch 2"} for n in range(INTERVALS)}


def answers(environment: Environment) -> dict[str, set[tuple[str, str, int]]]:
    """Per interval: layer, version and high."""
    found: dict[str, set[tuple[str, str, int]]] = {}
    for row in read_view(environment, stock_high_low).to_pylist():
        found.setdefault(row["_interval"], set()).add((row["_layer"], row["_version"], row["high"]))
    return found


def two_versions(environment: Environment) -> None:
    """v1 has published the intervals 0 and 1, v2 the interval 1; both have speed rows of all, v3 of the last."""
    begin_serving(environment, stock_high_low, "v1", "test")
    for number in range(3):
        write_speed(environment, interval(number), batch_id=1, high=1, version="v1")
        write_speed(environment, interval(number), batch_id=0, high=2, version="v2")
    write_speed(environment, interval(2), batch_id=9, high=3, version="v3")
    for number, version, high in ((0, "v1", 10), (1, "v1", 11), (1, "v2", 21), (2, "v3", 32)):
        write_batch(environment, interval(number), f"{version}-{number}", high)
        publish_run(environment, number, f"{version}-{number}", version=version)


OLD = {
    interval(0).id: {("batch", "v1", 10)},
    interval(1).id: {("batch", "v1", 11)},
    interval(2).id: {("speed", "v1", 1)},
}
NEW = {
    interval(0).id: {("batch", "v1", 10)},  # not yet backfilled
    interval(1).id: {("batch", "v2", 21)},
    interval(2).id: {("speed", "v2", 2)},
}


def test_one_version_is_served_whatever_others_have_until_a_switch_and_again_after_a_rollback(
    own_lake: Environment,
) -> None:
    two_versions(own_lake)
    assert answers(own_lake) == OLD
    switch(own_lake, stock_high_low, "v2", "test", "")
    assert answers(own_lake) == NEW
    rollback(own_lake, stock_high_low, "test", "")
    assert answers(own_lake) == OLD


def test_the_intervals_say_which_version_serves_them(own_lake: Environment) -> None:
    two_versions(own_lake)
    switch(own_lake, stock_high_low, "v2", "test", "")
    rows = read_view(own_lake, stock_high_low)
    assert [
        (e["version"], e["layer"], e["run"], e["rows"]) for e in served_intervals(own_lake, stock_high_low, rows)
    ] == [
        ("v1", "batch", "v1-0", 3),
        ("v2", "batch", "v2-1", 3),
        ("v2", "speed", None, 3),
    ]


def test_the_intervals_of_rows_that_were_read_before_a_switch_are_those_of_the_rows(own_lake: Environment) -> None:
    two_versions(own_lake)
    rows = read_view(own_lake, stock_high_low)
    switch(own_lake, stock_high_low, "v2", "test", "")
    publish_run(own_lake, 2, "since", version="v2")
    assert [
        (e["version"], e["layer"], e["run"], e["rows"]) for e in served_intervals(own_lake, stock_high_low, rows)
    ] == [
        ("v1", "batch", "v1-0", 3),
        ("v1", "batch", "v1-1", 3),
        ("v1", "speed", None, 3),
    ]


def test_a_reader_under_switching_sees_one_version_per_interval_and_every_interval_once(own_lake: Environment) -> None:
    two_versions(own_lake)
    done, seen, problems = threading.Event(), Counter[str](), list[object]()

    def read() -> None:
        while not done.is_set():
            found = answers(own_lake)
            whole = found in (OLD, NEW) and read_view(own_lake, stock_high_low).num_rows == 9
            seen["new" if found == NEW else "old"] += 1
            if not whole:
                problems.append(found)

    reader = threading.Thread(target=read)
    reader.start()
    deadline = time.monotonic() + 60
    while min(seen["new"], seen["old"]) < 3 and not problems and time.monotonic() < deadline:
        switch(own_lake, stock_high_low, "v2", "test", "")
        publish_run(own_lake, 3, f"of v3, {time.monotonic()}", version="v3")
        rollback(own_lake, stock_high_low, "test", "")
    done.set()
    reader.join()
    assert problems == []
    assert min(seen["new"], seen["old"]) >= 3

"""The serving view joins the layers at the interval: no hole, no double, at any moment."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

import pyarrow as pa

from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.published import publish
from millrace.lake.served import served_intervals
from millrace.lake.view import read_view
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_speed

INTERVALS = 4


def publish_run(
    environment: Environment, number: int, run: str, raw_version: int = 1, partial: Sequence[str] = ()
) -> None:
    publish(
        environment,
        stock_high_low,
        interval(number),
        run=run,
        version="v1",
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

"""A new version whose first records Kafka no longer holds is fed from the raw archive, and goes on from Kafka."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient
from pyspark.sql import SparkSession

from jobs import bootstrap
from jobs.checkpoint import Checkpoint
from jobs.errors import StopRequestedError
from jobs.interval import Interval
from jobs.lake import speed_query
from jobs.lake_files import LakeFiles
from tests.oracle.arrivals import Arrival
from tests.oracle.high_low import high_low
from tests.oracle.ticks import Sent, Tick, read_tick
from tests.parity.layer_runs import LayerRuns

pytestmark = [pytest.mark.release, pytest.mark.stack]

DAY = timedelta(days=1)
NOON = datetime(2026, 11, 20, 12, tzinfo=UTC)
GARBAGE = Arrival(b"no JSON", NOON, 1)


@pytest.fixture(autouse=True)
def small_slices(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bootstrap, "SLICE_EVENTS", 2)


def tick(minutes: float, partition: int = 0, price: int = 1) -> Arrival:
    moment = NOON + timedelta(minutes=minutes)
    text = f'{{"symbol":"A","event_time":"{moment.isoformat()}","price":{price},"volume":1}}'
    return Arrival(text.encode(), moment, partition)


def ticks(sent: list[Sent]) -> list[Tick]:
    return [found for found in map(read_tick, sent) if found]


def forget(run: LayerRuns, kafka: str, offsets: dict[int, int]) -> None:
    """Kafka drops the records below these offsets, as its retention does."""
    below = [TopicPartition(run.pipeline.topic.name, partition, offset) for partition, offset in offsets.items()]
    admin = AdminClient({"bootstrap.servers": kafka})
    for future in admin.delete_records(below).values():
        future.result(30)


def causes(result: dict[str, Any]) -> dict[str, str]:
    return {found["key"]["window_start"][11:16]: found["cause"] for found in result["parity"]["differences"]}


def test_what_kafka_has_lost_comes_from_the_archive_and_the_rest_from_kafka(
    new_run: Callable[[], LayerRuns], kafka: str, spark: SparkSession
) -> None:
    run = new_run()
    sent = run.stream([[tick(0), tick(1, 1), GARBAGE], [tick(10, 2), tick(10.5, 1)], [tick(0.5, 1), tick(9.5)]])
    run.archive()
    sent += run.produce([tick(10.2, 1), tick(11, 2)])
    forget(run, kafka, {0: 1, 1: 3})

    sent += run.stream([[tick(20)], [tick(0.7, 1), tick(19, 2)]], version="v2")
    # Late for v2 is what came after 12:20 under the watermark 12:18: 12:00:42, and no more. For v1 12:00:30 was too.
    assert run.speed_rows("v2") == high_low(ticks([one for one in sent if one not in sent[-2:-1]]))
    (result,) = run.reprocess([NOON], run.archive(), version="v2")
    assert causes(result) == {"12:00": "late"}
    assert [(window[11:16], events) for window, events in result["late"]["windows"]] == [("12:00", 1)]

    checkpoint = Checkpoint(LakeFiles(spark), run.lake.checkpoint(speed_query(run.pipeline.name), "v2"))
    assert checkpoint.first_offsets() == {run.pipeline.topic.name: {"0": 0, "1": 0, "2": 0}}


def test_a_version_that_ran_from_the_beginning_agrees(new_run: Callable[[], LayerRuns], kafka: str) -> None:
    """Three days, the first of them published; what Kafka lost begins in the midst of the others."""
    run = new_run()
    days = [[tick(day * 24 * 60 + minute, minute % 3, minute + 1) for minute in range(6)] for day in range(3)]
    sent = run.stream(days)
    run.archive()
    run.publish(Interval.of(NOON - DAY, DAY), Interval.of(NOON, DAY))
    forget(run, kafka, {0: 3, 1: 5, 2: 6})
    run.stream([], version="v2")
    # An event may be a day ahead of its Kafka timestamp: of the first day, what came after midnight less a day is read.
    assert run.speed_rows("v2") == run.speed_rows() == high_low(ticks(sent))


def test_where_kafka_holds_all_that_is_needed_the_archive_is_not_read(
    new_run: Callable[[], LayerRuns], kafka: str
) -> None:
    run = new_run()
    sent = run.stream([[tick(day * 24 * 60) for day in range(4)]])
    run.archive()
    run.publish(*(Interval.of(NOON + day * DAY, DAY) for day in range(3)))
    forget(run, kafka, {0: 2})
    run.stream([], version="v2")
    assert run.speed_rows("v2") == high_low(ticks(sent[2:]))
    assert not (run.checkpoint(speed_query(run.pipeline.name), "v2") / "bootstrap").exists()


STEPS = ["plan", "slice 1", "slice 2", "handover", "first", "entry", "journal", "done"]


@pytest.fixture
def die_at(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Lets the driver die just after a step of the bootstrap."""

    def dies(step: str, thing: type, method: str, is_it: Callable[..., bool]) -> None:
        real = getattr(thing, method)

        def dying(*arguments: Any) -> None:
            real(*arguments)
            if is_it(*arguments[1:]):
                raise KeyboardInterrupt(step)

        monkeypatch.setattr(thing, method, dying)

    def die(step: str) -> None:
        monkeypatch.undo()
        monkeypatch.setattr(bootstrap, "SLICE_EVENTS", 2)
        thing = bootstrap.Bootstrap
        if step in ("plan", "handover", "done"):
            dies(step, thing, "_note", lambda name, content: name == step)
        elif step.startswith("slice"):
            dies(step, thing, "_release", lambda events, number, *ends: number == int(step[-1]))
        elif step in ("first", "entry"):
            dies(step, thing, "_rewrite", lambda folder, *file: folder.endswith("sources/0") == (step == "first"))
        elif step == "journal":
            dies(step, bootstrap.ProgressJournal, "add", lambda line: True)

    return die


def test_a_driver_that_dies_at_any_step_loses_and_doubles_nothing(
    new_run: Callable[[], LayerRuns], kafka: str, die_at: Callable[[str], None]
) -> None:
    run = new_run()
    sent = run.stream([[tick(minute, minute % 3, minute + 1) for minute in range(6)]])
    run.archive()
    forget(run, kafka, {0: 1, 1: 2})
    sent += run.produce([tick(7), tick(8, 1)])
    for step in STEPS:
        die_at(step)
        with pytest.raises(KeyboardInterrupt, match=step):
            run.stream([], version="v2")
    die_at("no step")
    sent += run.stream([[tick(9, 2)]], version="v2")
    assert run.speed_rows("v2") == high_low(ticks(sent))
    (result,) = run.reprocess([NOON], run.archive(), version="v2")
    assert result["parity"]["causes"] == {}


def test_a_request_to_stop_is_heard_between_slices(new_run: Callable[[], LayerRuns], kafka: str) -> None:
    run = new_run()
    sent = run.stream([[tick(minute) for minute in range(6)]])
    run.archive()
    forget(run, kafka, {0: 6})
    with pytest.raises(StopRequestedError):
        run.start("v2", is_stopping=lambda: True)
    assert len(run.speed_rows("v2")) == 2
    run.stream([], version="v2")
    assert run.speed_rows("v2") == high_low(ticks(sent))

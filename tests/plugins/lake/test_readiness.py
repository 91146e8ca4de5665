"""Whether a version may be switched to: each thing that readers would lose keeps it from being served."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from jobs.accepted_losses import AcceptedLoss, LostRange
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.pipeline import Pipeline
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from millrace.environment import Environment
from millrace.lake.accepted_loss import accepted_within
from millrace.lake.published import publish
from millrace.lake.readiness import NotReadyError, check_switch, served_offsets, switch_problems
from millrace.lake.serving import begin_serving, switch
from millrace.lake.store import LakeStore
from millrace.lake.versions import version_states
from tests.plugins.lake.lake_rows import certificate, interval, write_processed, write_speed
from tests.plugins.lake.raw_rows import archive

DAY = timedelta(days=1)
TODAY = Interval.of(datetime.now(UTC), DAY)
YESTERDAY = Interval.of(TODAY.start - DAY, DAY)


def published(
    environment: Environment,
    day: Interval,
    version: str,
    pipeline: Pipeline = stock_high_low,
    *,
    rows_read: int = 1,
    raw_version: int = 0,
    partial: Sequence[str] = (),
) -> None:
    run, proof = f"{version} {day.id} {raw_version}", replace(certificate(raw_version), partial=list(partial))
    result = {"rows_read": rows_read}
    assert publish(environment, pipeline, day, run=run, version=version, certificate=proof, result=result)


def problems(environment: Environment, **how: object) -> list[str]:
    offsets = served_offsets(environment, stock_high_low, "v2")
    return switch_problems(environment, stock_high_low, "v2", offsets, **how)  # type: ignore[arg-type]


@pytest.fixture
def two_versions(own_lake: Environment) -> Environment:
    """v1 is served; both have published the same day, have rows of the next one, and have read as far."""
    begin_serving(own_lake, stock_high_low, "v1", "test")
    for version in ("v1", "v2"):
        published(own_lake, interval(0), version)
        write_speed(own_lake, interval(1), batch_id=3, high=1, version=version)
        write_processed(own_lake, version, 10, 5)
    return own_lake


def test_a_version_that_has_all_that_is_served_may_be_switched_to(two_versions: Environment) -> None:
    check_switch(two_versions, stock_high_low, "v2")
    write_processed(two_versions, "v2", 11, 5)
    check_switch(two_versions, stock_high_low, "v2")


def test_a_stream_that_is_behind_in_any_partition_is_not_ready(two_versions: Environment) -> None:
    write_processed(two_versions, "v2", 20, 3)
    (problem,) = problems(two_versions)
    assert "its speed layer is 2 records behind the served version's: partition 1 has 3 of 5" in problem
    with pytest.raises(
        NotReadyError, match="version v2 is not ready to be served: its speed layer is 2 records behind"
    ):
        check_switch(two_versions, stock_high_low, "v2", allow_older=True)


def test_a_stream_that_catches_up_with_where_the_served_one_was_when_asked_is_ready(two_versions: Environment) -> None:
    write_processed(two_versions, "v2", 9, 5)
    offsets = served_offsets(two_versions, stock_high_low, "v2")
    assert switch_problems(two_versions, stock_high_low, "v2", offsets)
    write_processed(two_versions, "v1", 1000, 1000)
    write_processed(two_versions, "v2", 10, 5)
    assert switch_problems(two_versions, stock_high_low, "v2", offsets) == []


def test_a_check_waits_for_a_stream_to_catch_up(two_versions: Environment) -> None:
    write_processed(two_versions, "v2", 9, 5)
    catching_up = threading.Timer(1, write_processed, (two_versions, "v2", 10, 5))
    catching_up.start()
    check_switch(two_versions, stock_high_low, "v2", wait=timedelta(seconds=60))
    catching_up.join()


def test_served_intervals_that_the_version_has_not_published_keep_it_back_unless_allowed(
    two_versions: Environment,
) -> None:
    published(two_versions, interval(2), "v1")
    (problem,) = problems(two_versions)
    told = "1 served intervals are published by other versions (v1) alone, which would go on serving them"
    assert problem.startswith(f"{told}: {interval(2).id}; run them under version v2: `millrace reprocess")
    assert problems(two_versions, allow_older=True) == []


def test_what_the_served_version_has_published_better_since_keeps_it_back(
    two_versions: Environment,
) -> None:
    """v2 backfilled a day; late events came, and a night repaired what is served: v1's."""
    noon = interval(0).start + DAY / 2
    archive(two_versions, noon)
    assert problems(two_versions) == [], "both lack it alike"
    archive(two_versions, noon), archive(two_versions, noon)
    published(two_versions, interval(0), "v1", rows_read=3, raw_version=2)
    (problem,) = problems(two_versions, allow_older=True)
    assert f"one that serves them has published better: {interval(0).id} without 2 late events; run" in problem
    published(two_versions, interval(0), "v2", rows_read=3, raw_version=2)
    assert problems(two_versions) == []


def test_a_partial_run_does_not_take_the_place_of_a_complete_one(two_versions: Environment) -> None:
    published(two_versions, interval(2), "v1")
    published(two_versions, interval(2), "v2", partial=["the archive is behind"])
    (problem,) = problems(two_versions)
    assert f"{interval(2).id} partial; run them again" in problem
    published(two_versions, interval(3), "v1", partial=["the archive is behind"])
    published(two_versions, interval(3), "v2", partial=["the archive is behind"])
    assert problems(two_versions) == [problem]


def test_what_no_other_run_could_better_keeps_nothing_back(two_versions: Environment) -> None:
    """A loss that is accepted makes one version's run partial for ever; the other's had read what was lost later."""
    noon = interval(0).start + DAY / 2
    lost = LostRange(0, 4, 6, "retention loss", noon, noon + 3 * DAY)
    loss = AcceptedLoss("l", "stock_ticks", None, "ada", datetime.now(UTC), "why", {0: (6, 10)}, {}, [lost])
    LakeStore(two_versions).write_json("accepted_loss/stock_ticks/l.json", loss.to_json())
    for number in (2, 3):
        published(two_versions, interval(number), "v1")
    (told,) = accepted_within(two_versions, "stock_ticks", interval(0))
    published(two_versions, interval(3), "v2", partial=[told])
    published(two_versions, interval(2), "v2")
    archive(two_versions, noon), archive(two_versions, noon)
    published(two_versions, interval(0), "v1", rows_read=2, raw_version=1)
    assert problems(two_versions) == []


def test_only_intervals_of_the_look_back_have_to_be_published(two_versions: Environment) -> None:
    published(two_versions, interval(2), "v1")
    published(two_versions, YESTERDAY, "v1")
    (problem,) = problems(two_versions, look_back=5 * DAY)
    assert f"serving them: {YESTERDAY.id};" in problem
    published(two_versions, YESTERDAY, "v2")
    assert problems(two_versions, look_back=5 * DAY) == []


def test_an_interval_whose_speed_rows_would_vanish_keeps_it_back(two_versions: Environment) -> None:
    write_speed(two_versions, interval(2), batch_id=4, high=1, version="v1")
    (problem,) = problems(two_versions, allow_older=True)
    told = "1 intervals that the speed layer serves would have no rows, or only late ones"
    assert problem.startswith(f"{told}: {interval(2).id}; wait")
    published(two_versions, interval(2), "v2")
    assert problems(two_versions) == []


def test_rows_of_an_interval_that_its_stream_has_read_in_part_are_no_answer(two_versions: Environment) -> None:
    """It began behind the published intervals, and has of an older one, which no one published, what came late."""
    for number in (2, 3):
        for version in ("v1", "v2"):
            write_speed(two_versions, interval(number), batch_id=4, high=1, version=version)
    assert problems(two_versions) == []
    began = "checkpoints/stock_high_low__speed/v2/started.json"
    LakeStore(two_versions).write_json(began, {"whole_from": interval(3).start.isoformat()})
    (problem,) = problems(two_versions)
    assert problem.startswith("2 intervals that the speed layer serves would have no rows, or only late ones")
    assert f"{interval(1).id}, {interval(2).id}; wait" in problem
    LakeStore(two_versions).write_json(began, {"whole_from": None})
    assert problems(two_versions) == []


def test_a_stream_that_went_on_behind_an_accepted_loss_has_not_read_the_intervals_from_before(
    two_versions: Environment,
) -> None:
    stream, now = "checkpoints/stock_high_low__speed/v2", datetime.now(UTC)
    loss = AcceptedLoss("l", "stock_ticks", None, "ada", now, "why", {0: (8, 10)}, {stream: {0: (5, 8)}}, [])
    LakeStore(two_versions).write_json("accepted_loss/stock_ticks/l.json", loss.to_json())
    (problem,) = problems(two_versions)
    assert f"have no rows, or only late ones: {interval(1).id}; wait" in problem
    as_served = replace(loss, skipped=loss.skipped | {stream.replace("v2", "v1"): {0: (5, 8)}})
    LakeStore(two_versions).write_json("accepted_loss/stock_ticks/l.json", as_served.to_json())
    assert problems(two_versions) == [], "the served version's stream has read no more"
    LakeStore(two_versions).write_json("accepted_loss/stock_ticks/l.json", loss.to_json())
    published(two_versions, interval(1), "v2")
    assert problems(two_versions) == []


def test_what_an_older_version_has_published_needs_no_speed_rows(two_versions: Environment) -> None:
    switch(two_versions, stock_high_low, "v1b", "test", "")
    write_speed(two_versions, interval(0), batch_id=4, high=1, version="v1b")
    write_processed(two_versions, "v1b", 1, 1)
    assert problems(two_versions) == []


def test_intervals_of_another_length_cannot_be_in_one_view(own_lake: Environment) -> None:
    hourly = replace(stock_high_low, interval=timedelta(hours=1))
    published(own_lake, interval(0), "v1")
    published(own_lake, Interval(interval(0).start, interval(0).start + timedelta(hours=1)), "v2", hourly)
    (problem,) = problems(own_lake)
    assert "its intervals are of another length than the served ones (1:00:00 and 1 day, 0:00:00)" in problem


def test_a_version_that_left_nothing_is_unknown(two_versions: Environment) -> None:
    with pytest.raises(
        UsageError, match="version v9 has neither published an interval nor speed rows; there are: v1, v2"
    ):
        check_switch(two_versions, stock_high_low, "v9")


def test_the_versions_are_listed_with_what_each_has_the_served_ones_first(two_versions: Environment) -> None:
    published(two_versions, interval(1), "v3")
    write_speed(two_versions, interval(2), batch_id=8, high=1, version="v2")
    switch(two_versions, stock_high_low, "v2", "test", "")
    first, second, third = (interval(number).id for number in range(3))
    assert [
        (state.version, state.published, state.speed, state.micro_batch, state.processed)
        for state in version_states(two_versions, stock_high_low)
    ] == [
        ("v2", (first,), (second, third), 8, 15),
        ("v1", (first,), (second,), 3, 15),
        ("v3", (second,), (), None, None),
    ]

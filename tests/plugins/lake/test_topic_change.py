"""A version that reads another topic: what its topic lacks must not vanish from the view without a word."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake

from jobs.declaration import declaration_text
from jobs.interval import Interval
from jobs.lake import RAW_VERSION, Lake, archive_query
from jobs.pipeline import Pipeline
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.coverage import Coverage, read_coverage
from millrace.lake.interval_claim import interval_claim
from millrace.lake.offsets import KafkaEnd
from millrace.lake.pending_late import look_back, overdue
from millrace.lake.published import publish
from millrace.lake.readiness import NotReadyError, check_switch, served_offsets, switch_problems, topic_changes
from millrace.lake.serving import begin_serving, served_version, switch
from millrace.lake.speed_log import SpeedLog
from millrace.lake.store import LakeStore
from millrace.lake.tables import query_tables
from millrace.lake.topic_change import lacking_events
from millrace.tasks import upgrade
from tests.plugins.lake.lake_rows import certificate, interval, write_batch, write_processed, write_speed
from tests.plugins.lake.raw_rows import archive, local_environment, raw_uri

NEW_TOPIC = dataclasses.replace(stock_high_low.topic, name="new_ticks")
MOVED = dataclasses.replace(stock_high_low, topic=NEW_TOPIC)
BEFORE, OPEN = interval(0), interval(1)


@pytest.fixture
def moved(tmp_path: Path) -> Environment:
    """v1, of the old topic, is served: it has published a day and counts the next one. v2 began in the new topic."""
    here = local_environment(tmp_path)
    for version, pipeline in (("v1", stock_high_low), ("v2", MOVED)):
        LakeStore(here).write(Lake("").declaration(version), declaration_text(pipeline).encode())
    begin_serving(here, stock_high_low, "v1", "test")
    archived(here, "stock_ticks", BEFORE, [b"x", b"y", b"z"])
    published(here, BEFORE, "v1")
    archived(here, "stock_ticks", OPEN, [b"a", b"b", b"b"], end=6)
    write_speed(here, OPEN, batch_id=3, high=1, version="v1")
    write_processed(here, "v1", 6)
    archived(here, "new_ticks", OPEN, [b"c"], end=1)
    write_speed(here, OPEN, batch_id=0, high=2, version="v2")
    write_processed(here, "v2", 1, topic="new_ticks")
    return here


def archived(
    here: Environment, topic: str, of: Interval, values: Sequence[bytes | None], end: int | None = None
) -> None:
    """An event a minute; with `end`, the archive's checkpoint says that it is whole below that offset."""
    for minute, value in enumerate(values):
        archive(here, of.start + timedelta(minutes=minute), topic=topic, value=value)
    if end is not None:
        checkpoint, store = Lake("").checkpoint(archive_query(topic), RAW_VERSION), LakeStore(here)
        store.write_json(f"{checkpoint}/metadata", {"id": topic})
        store.write(f"{checkpoint}/offsets/{end}", f"v1\n{{}}\n{json.dumps({topic: {'0': end}})}".encode())
        table = DeltaTable(raw_uri(here, topic))
        done = CommitProperties(app_transactions=[Transaction(topic, end)])
        write_deltalake(table, table.to_pyarrow_table().slice(0, 0), mode="append", commit_properties=done)


def published(here: Environment, of: Interval, version: str, partial: Sequence[str] = ()) -> None:
    topic = {"v1": "stock_ticks", "v2": "new_ticks"}[version]
    run = f"{version} {of.id} {len(partial)}"
    write_batch(here, of, run, high=1)
    proof = dataclasses.replace(certificate(1), topic=topic, partial=list(partial))
    assert publish(here, MOVED, of, run=run, version=version, certificate=proof, result={"rows_read": 3})


def problems(here: Environment, **allowed: bool) -> list[str]:
    return switch_problems(here, MOVED, "v2", served_offsets(here, MOVED, "v2"), allow_older=True, **allowed)


def left_out(here: Environment, of: Interval, pipeline: Pipeline = MOVED) -> list[str]:
    """What of another topic keeps a run of the interval from being certified; there is no Kafka here to ask."""
    claim = interval_claim(here, pipeline, of)
    return list(claim._left_out())


def test_events_of_the_old_topic_keep_the_version_back_while_its_speed_layer_serves_them(moved: Environment) -> None:
    (problem,) = problems(moved)
    assert problem.startswith(
        f"it reads topic 'new_ticks', which lacks 3 events (of {OPEN.id}) that topic 'stock_ticks' has; they would"
    )
    assert "publish it" not in problem, "the new topic has one of its own, which that would lack"
    check_switch(moved, MOVED, "v2", allow_older=True, leave_events=True)


def test_an_interval_of_which_the_new_topic_has_nothing_of_its_own_may_stay_with_a_run_of_the_old_version(
    moved: Environment,
) -> None:
    archived(moved, "stock_ticks", interval(2), [b"p", b"q"])
    for version in ("v1", "v2"):
        write_speed(moved, interval(2), batch_id=4, high=1, version=version)
    by_run, by_copy = problems(moved)
    assert f"lacks 2 events (of {interval(2).id})" in by_run
    assert "publish it under version v1" in by_run
    assert f"lacks 3 events (of {OPEN.id})" in by_copy
    assert "publish it" not in by_copy
    assert "have the same records written to topic 'new_ticks' too, for no run of version v1 would answer" in by_copy
    published(moved, interval(2), "v1")
    assert problems(moved) == [by_copy], "that was a remedy"


def test_a_topic_that_has_the_same_records_too_may_be_switched_to(moved: Environment) -> None:
    """As often: two prices may have the same bytes."""
    archived(moved, "new_ticks", OPEN, [b"b", b"a"])
    (problem,) = problems(moved)
    assert "lacks 1 events" in problem
    archived(moved, "new_ticks", OPEN, [b"b"])
    check_switch(moved, MOVED, "v2", allow_older=True)


@pytest.mark.parametrize("length", [timedelta(hours=1), timedelta(days=2)], ids=str)
def test_a_version_whose_intervals_are_of_another_length_is_told_that_alone(
    moved: Environment, length: timedelta
) -> None:
    """Of two days, one of the served intervals is in the midst of another."""
    write_speed(moved, interval(2), batch_id=4, high=1, version="v1")
    other = dataclasses.replace(MOVED, interval=length)
    LakeStore(moved).write(Lake("").declaration("v2"), declaration_text(other).encode())
    (problem,) = topic_changes(moved, MOVED, "v2")
    assert problem.startswith("its intervals are of another length than the served ones (")
    assert problem in problems(moved)


def test_what_is_counted_and_not_archived_is_waited_for(moved: Environment) -> None:
    archived(moved, "new_ticks", OPEN, [b"a", b"b", b"b"])
    write_processed(moved, "v1", 8)
    (problem,) = problems(moved)
    assert "the archive of topic 'stock_ticks' lacks 2 records that version v1 has processed" in problem
    archived(moved, "stock_ticks", OPEN, [b"d", b"e"], end=8)
    assert "lacks 2 events" in problems(moved)[0]


def test_what_is_archived_while_the_switch_is_checked_is_counted(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the archive might be behind when its events are counted, and no more when it is asked how far it is."""
    archived(moved, "new_ticks", OPEN, [b"a", b"b", b"b"])
    write_processed(moved, "v1", 8)

    def archived_just_before(environment: Environment, topic: Topic) -> Coverage | None:
        if topic.name == "stock_ticks":
            archived(environment, topic.name, OPEN, [b"d", b"e"], end=8)
        return read_coverage(environment, topic)

    monkeypatch.setattr("millrace.lake.topic_change.read_coverage", archived_just_before)
    (problem,) = problems(moved)
    assert "lacks 2 events" in problem


def test_what_is_processed_after_the_served_intervals_were_asked_for_is_not_held_against_them(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What the stream had processed before that is in these intervals; what it processes later, the next check sees."""
    archived(moved, "new_ticks", OPEN, [b"a", b"b", b"b"])
    asked = SpeedLog.intervals

    def processed_meanwhile(log: SpeedLog) -> Any:
        found = asked(log)
        write_processed(moved, "v1", 8)
        return found

    monkeypatch.setattr(SpeedLog, "intervals", processed_meanwhile)
    assert topic_changes(moved, MOVED, "v2") == []
    assert "lacks 2 records that version v1 has processed" in topic_changes(moved, MOVED, "v2")[0]


def test_the_new_stream_has_to_reach_what_is_archived_of_its_own_topic(moved: Environment) -> None:
    archived(moved, "new_ticks", OPEN, [b"a", b"b", b"b"], end=4)
    (problem,) = problems(moved)
    assert "its speed layer is 3 records behind the served version's: partition 0 has 1 of 4" in problem
    write_processed(moved, "v2", 4, topic="new_ticks")
    assert problems(moved) == []


def test_once_the_old_version_has_published_the_interval_the_new_topics_events_of_it_are_told(
    moved: Environment,
) -> None:
    published(moved, OPEN, "v1")
    (problem,) = problems(moved)
    told = "version v1 answers, from topic 'stock_ticks', for intervals of which topic 'new_ticks' has 1 events"
    assert problem.startswith(f"{told} (of {OPEN.id}) that lack there")
    assert problems(moved, leave_events=True) == []
    archived(moved, "stock_ticks", OPEN, [b"c"])
    assert problems(moved) == []


def test_what_the_new_version_has_published_too_must_have_the_old_topics_events(moved: Environment) -> None:
    published(moved, OPEN, "v1"), published(moved, OPEN, "v2")
    (problem,) = problems(moved)
    assert "lacks 3 events" in problem
    assert "publish it" not in problem, "it is, and would not be asked any more"
    archived(moved, "new_ticks", OPEN, [b"a", b"b", b"b"])
    assert problems(moved) == []


def test_after_the_switch_no_run_takes_the_place_of_what_was_published_of_the_old_topic(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("millrace.lake.certificate.current_end", _told)
    monkeypatch.setattr("millrace.lake.certificate.Claim._gaps", lambda *_, **__: [])
    assert left_out(moved, OPEN) == [], "nothing is published of it"
    published(moved, OPEN, "v1")
    switch(moved, MOVED, "v2", "test", "")
    (reason,) = left_out(moved, OPEN)
    assert reason.startswith(
        "the interval is published from topic 'stock_ticks', which has 3 events of it that topic 'new_ticks' lacks"
    )
    assert interval_claim(moved, MOVED, OPEN).look().missing == (reason,)
    assert left_out(moved, OPEN, stock_high_low) == [], "to run it again under the old version takes nothing away"
    archived(moved, "new_ticks", OPEN, [b"a", b"b", b"b"])
    assert left_out(moved, OPEN) == []


def test_while_other_things_are_missing_the_topics_are_not_compared(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    published(moved, OPEN, "v1")
    switch(moved, MOVED, "v2", "test", "")
    monkeypatch.setattr("millrace.lake.certificate.current_end", lambda *_: KafkaEnd({0: 9}, datetime.now(UTC)))
    monkeypatch.setattr("millrace.lake.certificate.Claim._gaps", lambda *_, **__: [])
    scans = scanned(monkeypatch)
    (reason,) = interval_claim(moved, MOVED, OPEN).look().missing
    assert "partition 0 has 1 of 9" in reason
    assert scans == []
    assert len(interval_claim(moved, MOVED, OPEN).partial().partial) == 2
    assert len(scans) == 1


def test_topics_are_compared_again_only_once_something_was_archived(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = scanned(monkeypatch)
    for _ in range(3):
        assert lacking_events(moved, NEW_TOPIC, stock_high_low.topic, [OPEN]) == {OPEN: 3}
    assert len(scans) == 1
    assert lacking_events(moved, NEW_TOPIC, stock_high_low.topic, [BEFORE, OPEN]) == {BEFORE: 3, OPEN: 3}
    assert len(scans) == 2, "of the other one"
    for topic, left in (("new_ticks", 2), ("stock_ticks", 3)):
        archived(moved, topic, OPEN, [b"a"])
        assert lacking_events(moved, NEW_TOPIC, stock_high_low.topic, [OPEN]) == {OPEN: left}


def test_what_is_compared_are_digests_and_a_record_without_a_value_is_one_too(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    scans = scanned(monkeypatch)
    archived(moved, "stock_ticks", interval(2), [None, None, b""])
    archived(moved, "new_ticks", interval(2), [None])
    assert lacking_events(moved, NEW_TOPIC, stock_high_low.topic, [interval(2)]) == {interval(2): 2}
    assert scans[0].count("GROUP BY sha256(value)") == 2, "no payload is held"


def scanned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The comparisons that are made from now on."""
    found: list[str] = []

    def noted(tables: Any, sql: str) -> Any:
        found.append(sql)
        return query_tables(tables, sql)

    monkeypatch.setattr("millrace.lake.topic_change.query_tables", noted)
    return found


def test_what_was_published_as_partial_for_that_is_not_repaired_until_the_topic_has_the_events(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else the next night would find nothing against it, and the interval would be complete without them."""
    published(moved, OPEN, "v1")
    switch(moved, MOVED, "v2", "test", "")
    monkeypatch.setattr("millrace.lake.certificate.current_end", _told)
    monkeypatch.setattr("millrace.lake.certificate.Claim._gaps", lambda *_, **__: [])
    reasons = interval_claim(moved, MOVED, OPEN).partial().partial
    assert len(reasons) == 1
    published(moved, OPEN, "v2", partial=reasons)
    assert OPEN not in repaired(moved)
    archived(moved, "new_ticks", OPEN, [b"a", b"b", b"b"])
    assert OPEN in repaired(moved)


def test_an_upgrade_is_refused_too_unless_it_was_told_to_leave_these_events(
    moved: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(upgrade, "environment_for_task", lambda _: moved)
    monkeypatch.setattr(upgrade, "_LAST_PATIENCE", timedelta(0))
    plan = upgrade.Plan(version="v2", served="v1", serving=1, intervals=[])
    assert f"lacks 3 events (of {OPEN.id})" in upgrade.compare_with_served(MOVED, plan, None), "to whoever approves"
    with pytest.raises(NotReadyError, match="lacks 3 events"):
        upgrade.switch_version(MOVED, plan, None, "manual__1", lambda: "running")
    assert served_version(moved, MOVED) == "v1"
    upgrade.switch_version(MOVED, plan, None, "manual__1", lambda: "running", leave_events=True)
    assert served_version(moved, MOVED) == "v2"


def test_who_starts_an_upgrade_is_told_before_anything_is_run(
    moved: Environment, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(upgrade, "environment_for_task", lambda _: moved)
    with caplog.at_level("WARNING"):
        assert upgrade.plan_upgrade(MOVED, None, None)["intervals"] == []
    assert (
        f"as it is now, the switch would be refused: it reads topic 'new_ticks', which lacks 3 events (of {OPEN.id})"
        in (caplog.text)
    )


def test_a_served_version_whose_transformation_is_not_here_any_more_is_read_as_it_was_declared(
    moved: Environment,
) -> None:
    """Its module was renamed in the code here, which waits for its upgrade: the nights of the served version go on."""
    gone = dataclasses.replace(stock_high_low, transform="jobs.pipelines.stock_high_low.of_before:high_low")
    LakeStore(moved).write(Lake("").declaration("v1"), declaration_text(gone).encode())
    look = look_back(moved, MOVED)
    assert look.pipeline.transform == gone.transform
    assert [each.interval for each in look.published] == [BEFORE]
    assert interval_claim(moved, look.pipeline, BEFORE).topic == stock_high_low.topic


def repaired(here: Environment) -> dict[Interval, int]:
    """Less those with pending late events: only for being partial."""
    look = dataclasses.replace(look_back(here, MOVED), pending={OPEN.id: 0})
    recent, _ = overdue(here, look, datetime.now(UTC), timedelta(days=36_500))
    return recent


def _told(*_: Any) -> Any:
    """Kafka has no more than is archived."""
    return KafkaEnd({0: 1}, datetime.now(UTC))


def test_events_are_compared_by_bytes_within_the_span_alone(moved: Environment) -> None:
    archived(moved, "new_ticks", BEFORE, [b"a", b"b", b"b"])
    found = lacking_events(moved, NEW_TOPIC, stock_high_low.topic, [BEFORE, OPEN, interval(2)])
    assert found == {BEFORE: 3, OPEN: 3}
    nowhere = dataclasses.replace(NEW_TOPIC, name="nowhere")
    assert lacking_events(moved, nowhere, NEW_TOPIC, [OPEN]) == {OPEN: 1}
    assert lacking_events(moved, NEW_TOPIC, nowhere, [OPEN]) == {}

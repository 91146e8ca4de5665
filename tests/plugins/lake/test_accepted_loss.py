"""What is accepted as lost: in the ledger for ever, in every certificate that it touches, and asked for explicitly."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from urllib.parse import urlparse

import pyarrow as pa
import pytest

from jobs.declaration import declaration_text
from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topic import Topic
from jobs.topics import TOPICS, stock_ticks
from jobs.version import fingerprint
from millrace.cli import main
from millrace.environment import Environment
from millrace.lake.accepted_loss import accept_loss, accepted, accepted_within
from millrace.lake.ledger import update_ledger
from millrace.lake.lost_offsets import find_lost
from millrace.lake.neighbours import Neighbours
from millrace.lake.pending_late import look_back, overdue
from millrace.lake.published import publish
from millrace.lake.serving import begin_serving
from millrace.lake.store import LakeStore
from tests.plugins.lake.archived_topic import ArchivedTopic, ended
from tests.plugins.lake.holed_topic import topic_with_a_hole
from tests.plugins.lake.ledger.kafka_records import create_topic, delete_records, delete_topic, send
from tests.plugins.lake.ledger.raw_rows import FIRST, archive, new_topic, open_raw, write_checkpoint
from tests.plugins.lake.raw_rows import local_environment

HOUR = timedelta(hours=1)
Command = Callable[..., tuple[int, str, str]]


@pytest.fixture
def topic(own_lake: Environment, monkeypatch: pytest.MonkeyPatch) -> Topic:
    """Ten records; the archive has 0 to 3 and would go on at 4, and Kafka begins at 6."""
    found = topic_with_a_hole(own_lake)
    monkeypatch.setitem(TOPICS, found.name, found)
    return found


@pytest.fixture
def command(own_lake: Environment, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Runs `millrace`; its exit code, and what it printed."""
    monkeypatch.setattr("millrace.cli.shared.connected", lambda: SimpleNamespace(environment=own_lake))

    def run(*arguments: str) -> tuple[int, str, str]:
        capsys.readouterr()
        with pytest.raises(SystemExit) as end:
            main(arguments)
        return int(end.value.code or 0), *capsys.readouterr()

    return run


def gaps(environment: Environment, topic: Topic) -> list[tuple[str, int, int]]:
    ledger = update_ledger(environment, topic.name).ledger
    return [(entry.kind, entry.start, entry.end) for entry in ledger.gaps(0)]


def test_an_acknowledgement_outlives_the_ledger(own_lake: Environment, topic: Topic) -> None:
    lost = find_lost(own_lake, topic)
    assert lost.streams == {f"checkpoints/archive__{topic.name}/1": {0: (4, 6)}}
    (only,) = lost.ranges
    assert (only.start, only.end, only.kind) == (4, 6, "retention loss")
    accept_loss(own_lake, lost, "ada", "the cluster was down")
    assert not find_lost(own_lake, topic)
    assert gaps(own_lake, topic) == [("accepted loss", 4, 6)]
    archive(own_lake, topic.name, range(6, 10))
    first = update_ledger(own_lake, topic.name).ledger
    for path in LakeStore(own_lake).list(f"ledger/{topic.name}"):
        LakeStore(own_lake).delete(path)
    (entry,) = update_ledger(own_lake, topic.name).ledger.gaps(0)
    assert [(kept.kind, kept.start, kept.end, kept.detail) for kept in first.gaps(0)] == [
        (entry.kind, entry.start, entry.end, entry.detail)
    ]
    assert {name: entry.detail[name] for name in ("who", "reason", "was", "kafka")} == {
        "who": "ada",
        "reason": "the cluster was down",
        "was": "retention loss",
        "kafka": [6, 10],
    }


def test_a_loss_that_the_ledger_had_found_is_accepted_under_its_new_name(
    own_lake: Environment, kafka: str, topic: Topic
) -> None:
    """The archive went on at 8, by whatever means: 4 to 7 are no longer in Kafka or were never archived."""
    archive(own_lake, topic.name, [8, 9])
    delete_records(kafka, topic.name, before=8)
    assert gaps(own_lake, topic) == [("retention loss", 4, 8)]
    write_checkpoint(own_lake, topic.name, first={0: 0}, ends={0: 10})
    lost = find_lost(own_lake, topic)
    assert lost.streams == {}
    assert [(each.start, each.end) for each in lost.ranges] == [(4, 8)]
    accept_loss(own_lake, lost, "ada", "why")
    assert gaps(own_lake, topic) == [("accepted loss", 4, 8)]


def test_what_the_archive_lacks_though_kafka_has_it_is_accepted_too(
    own_lake: Environment, kafka: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No query goes back for it: without that, no interval of the topic could ever be proven complete."""
    topic = replace(stock_ticks, name=new_topic())
    monkeypatch.setitem(TOPICS, topic.name, topic)
    create_topic(kafka, topic.name)
    send(kafka, topic.name, 10)
    write_checkpoint(own_lake, topic.name, first={0: 0}, ends={0: 10})
    archive(own_lake, topic.name, [0, 1, 2, 3, 6, 7, 8, 9], batch=0)
    assert gaps(own_lake, topic) == [("missing", 4, 6)]
    lost = find_lost(own_lake, topic)
    assert (lost.streams, [(each.kind, each.start, each.end) for each in lost.ranges]) == ({}, [("missing", 4, 6)])
    accept_loss(own_lake, lost, "ada", "a copy of the archive was put back")
    assert gaps(own_lake, topic) == [("accepted loss", 4, 6)]
    assert not find_lost(own_lake, topic)


def test_what_the_archive_has_is_skipped_by_a_stream_and_lost_to_nobody(
    own_lake: Environment, kafka: str, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Two versions of a speed layer are behind the archive, one of them obsolete; the served one is not."""
    archive(own_lake, topic.name, range(4, 10), batch=1)
    store, folder = LakeStore(own_lake), f"checkpoints/archive__{topic.name}/1"
    store.write(f"{folder}/offsets/1", b"v1\n{}\n" + json.dumps({topic.name: {"0": 10}}).encode())
    store.write(f"{folder}/commits/1", b"v1\n{}")
    pipeline = replace(stock_high_low, topic=topic)
    monkeypatch.setattr("millrace.lake.lost_offsets.find_pipeline", lambda name: pipeline)
    begin_serving(own_lake, pipeline, "served", by="a test")
    speed, new = "checkpoints/stock_high_low__speed", fingerprint(pipeline)
    for path in store.list(folder):
        rest = path.removeprefix(folder)
        for version in ("served",) if rest.endswith("/1") else ("served", "obsolete", new):
            store.write(f"{speed}/{version}{rest}", store.read(path) or b"")
    lost = find_lost(own_lake, topic)
    assert lost.streams == {f"{speed}/{new}": {0: (4, 6)}}
    assert lost.ranges == []
    asked = find_lost(own_lake, topic, ["obsolete"])
    assert asked.streams == {f"{speed}/{new}": {0: (4, 6)}, f"{speed}/obsolete": {0: (4, 6)}}
    accept_loss(own_lake, lost, "ada", "why")
    assert not find_lost(own_lake, topic)
    assert update_ledger(own_lake, topic.name).ledger.is_complete


def test_while_a_pipeline_moves_to_another_topic_each_version_is_asked_about_its_own(
    own_lake: Environment, kafka: str, topic: Topic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The served version reads the topic that lost records, and another one that the code here reads."""
    other = replace(topic, name=new_topic())
    create_topic(kafka, other.name)
    send(kafka, other.name, 1)
    here = replace(stock_high_low, topic=other)
    monkeypatch.setattr("millrace.lake.lost_offsets.find_pipeline", lambda name: here)
    begin_serving(own_lake, here, "served", by="a test")
    folder, stream = f"checkpoints/archive__{topic.name}/1", "checkpoints/stock_high_low__speed"
    store = LakeStore(own_lake)
    store.write(Lake("").declaration("served"), declaration_text(replace(here, topic=topic)).encode())
    for path in store.list(folder):
        store.write(f"{stream}/served{path.removeprefix(folder)}", store.read(path) or b"")
    lost = find_lost(own_lake, topic)
    assert lost.streams == {folder: {0: (4, 6)}, f"{stream}/served": {0: (4, 6)}}
    write_checkpoint(own_lake, other.name, first={0: 0}, ends={0: 1})
    archive(own_lake, other.name, [0], batch=0)
    assert not find_lost(own_lake, other), "its offsets are not those of the topic that the code reads"


def test_intervals_that_a_lost_record_may_belong_to_are_found_by_its_neighbours(
    own_lake: Environment, kafka: str, topic: Topic
) -> None:
    """Before the hole is the archive's record 3; behind it Kafka's record 6, which was sent just now."""
    late, ahead, minute = topic.allowed_lateness, topic.max_ahead, timedelta(minutes=1)
    now = datetime.now(UTC)
    assert Neighbours(own_lake, topic).touched(0, 4, 6, now) == (FIRST + 3 * minute - late, now + ahead)
    archive(own_lake, topic.name, range(6, 10))
    assert Neighbours(own_lake, topic).touched(0, 4, 6, now) == (
        FIRST + 3 * minute - late,
        FIRST + 6 * minute + late + ahead,
    )
    archive(own_lake, topic.name, [5], partition=1)  # nothing before it: as old as it likes; nothing behind it: now
    assert Neighbours(own_lake, topic).touched(1, 0, 5, now)[0] is None
    assert Neighbours(own_lake, topic).touched(1, 6, 8, now)[1] == now + ahead


def test_neighbours_are_found_on_whatever_day_and_however_far_and_files_of_far_offsets_stay_closed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here, topic = local_environment(tmp_path), replace(stock_ticks, name=new_topic())
    million = 1_000_000
    for offsets in (
        range(4),
        [million],
        [million + 5, million + 6],
        [3 * million],
        range(3 * million + 1, 3 * million + 5),
    ):
        archive(here, topic.name, offsets)  # odd ones are dead letters, which are of no day
    archive(here, topic.name, [million + 2, million + 3], partition=1)
    monkeypatch.setattr(Neighbours, "_in_kafka", lambda *_: None)
    now = FIRST + timedelta(days=9000)

    def between(start: int, end: int) -> tuple[datetime | None, datetime]:
        return Neighbours(here, topic).touched(0, start, end, now)

    def sent(offset: int) -> datetime:
        return FIRST + offset * timedelta(minutes=1)

    late, ahead = topic.allowed_lateness, topic.max_ahead
    near = (sent(million) - late, sent(million + 5) + late + ahead)
    assert between(million + 1, million + 5) == near
    assert between(million + 7, million + 9) == (sent(million + 6) - late, sent(3 * million) + late + ahead)
    assert between(9, 10) == (sent(3) - late, sent(million) + late + ahead)
    assert between(3 * million + 5, 3 * million + 6) == (sent(3 * million + 4) - late, now + ahead)
    assert between(0, 0)[0] is None
    raw = open_raw(here, topic.name)
    files = pa.table(raw.get_add_actions(flatten=True)).to_pylist()
    far = [each["path"] for each in files if not million <= each["min.offset"] < 2 * million]
    assert len(far) == 5
    for path in far:
        (Path(urlparse(raw.table_uri).path) / path).unlink()
    assert between(million + 1, million + 5) == near


@pytest.fixture
def ticks(own_lake: Environment) -> ArchivedTopic:
    """Three records in partition 0 and two in 1, all archived."""
    found = ArchivedTopic(own_lake)
    found.produce(3)
    found.produce(2, partition=1)
    found.archive(3, 2)
    return found


def accept(ticks: ArchivedTopic, since: datetime | None, until: datetime, start: int = 1) -> None:
    """As `accept_loss` leaves it: of one record of partition 1."""
    from jobs.accepted_losses import AcceptedLoss, LostRange

    name = ticks.topic.name
    lost = [LostRange(1, start, start + 1, "retention loss", since, until)]
    loss = AcceptedLoss("id", name, None, "ada", datetime(2026, 11, 20, tzinfo=UTC), "why", {}, {}, lost)
    path = f"{Lake('').accepted_losses(name)}/id.json"
    LakeStore(ticks.environment).write_json(path, loss.to_json())
    assert accepted(ticks.environment, name) == [loss]


def test_a_touched_interval_is_proven_and_partial_without_permission(ticks: ArchivedTopic) -> None:
    touched, earlier = ended(HOUR), ended(3 * HOUR)
    accept(ticks, touched.start + HOUR / 2, touched.end)
    line = "accepted loss of 1 offsets of partition 1 (1 to 1) by ada on 2026-11-20: why"
    assert accepted_within(ticks.environment, ticks.topic.name, touched) == [line]
    certificate = ticks.claim(touched).look().proof()
    assert certificate is not None
    assert certificate.partial == [line]
    untouched = ticks.claim(earlier).look().proof()
    assert untouched is not None
    assert untouched.partial == []
    assert ticks.claim(earlier).partial().partial == []


def test_what_a_later_loss_made_partial_is_not_run_again_for_that_alone(ticks: ArchivedTopic) -> None:
    here, pipeline = ticks.environment, replace(stock_high_low, topic=ticks.topic, interval=HOUR)
    hour = Interval.of(ended(3 * HOUR).start, HOUR)
    proof = ticks.claim(hour).look().proof()
    assert proof is not None
    result = {"rows_read": 0, "rows_by_day": {hour.start.date().isoformat(): 0}}
    publish(here, pipeline, hour, run="r", version="v1", certificate=proof, result=result)
    accept(ticks, None, hour.end, start=2)  # what came after it in partition 1
    look = look_back(here, pipeline)
    assert [len(each.partial) for each in look.published] == [1]
    assert overdue(here, look, datetime.now(UTC), timedelta(days=7)) == ({}, {})


def test_a_loss_that_nobody_has_accepted_is_no_proof(own_lake: Environment, kafka: str, topic: Topic) -> None:
    from millrace.lake.certificate import Claim

    archive(own_lake, topic.name, range(6, 10), batch=1)
    store, folder = LakeStore(own_lake), f"checkpoints/archive__{topic.name}/1"
    store.write(f"{folder}/offsets/1", b"v1\n{}\n" + json.dumps({topic.name: {"0": 10}}).encode())
    claim = Claim(own_lake, topic, ended(3 * HOUR))
    (reason,) = claim.look().missing  # though nobody has asked for a ledger before
    assert "retention loss: partition 0: offsets 4 to 5 (2)" in reason
    assert f"`millrace accept-loss {topic.name}`" in reason
    accept_loss(own_lake, find_lost(own_lake, topic), "ada", "why")
    assert claim.look().missing == ()
    assert claim.partial().partial == []
    assert len(Claim(own_lake, topic, Interval(FIRST, FIRST + HOUR)).partial().partial) == 1


def test_the_command_shows_asks_and_says_what_to_do(
    own_lake: Environment, kafka: str, topic: Topic, command: Command
) -> None:
    code, out, _ = command("accept-loss", topic.name, "--dry-run")
    assert code == 0
    assert f"archive__{topic.name}/1" in out
    assert "4 to 5" in out
    assert accepted(own_lake, topic.name) == []
    assert command("accept-loss", topic.name, "--yes")[0] == 2
    code, out, _ = command("ledger", topic.name)
    assert code == 1, "Kafka has deleted what the archive would have read next"
    assert "not complete: retention loss" in out
    code, out, _ = command("accept-loss", topic.name, "--yes", "--reason", "INC-1", "--json")
    told = json.loads(out)
    assert (code, told["streams"]) == (0, {f"checkpoints/archive__{topic.name}/1": {"0": [4, 6]}})
    assert told["accepted"]["reason"] == "INC-1"
    assert "every stream can go on" in command("accept-loss", topic.name)[1]
    code, out, _ = command("ledger", topic.name)
    assert code == 3
    assert f"by {told['accepted']['who']} at" in out
    assert "not complete, but accounted for" in out
    delete_topic(kafka, topic.name)
    code, out, _ = command("ledger", topic.name)
    assert code == 1, "what else is lost nobody knows"
    assert "not known" in out


def test_a_topic_that_was_recreated_has_nothing_to_accept(own_lake: Environment, kafka: str, topic: Topic) -> None:
    store = LakeStore(own_lake)
    store.write_json(f"checkpoints/archive__{topic.name}/1/topic.json", {"topic": topic.name, "topic_id": "another"})
    with pytest.raises(MillraceError, match="recreated in Kafka, or cut off"):
        find_lost(own_lake, topic)

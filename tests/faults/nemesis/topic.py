"""The topic, cut off by retention: what is lost is refused, accepted by a person, and accounted for."""

from __future__ import annotations

import json
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from jobs.checkpoint import Checkpoint, of_topic
from jobs.lake import Lake
from jobs.topics import stock_ticks
from millrace.lake.certificate import Claim
from millrace.lake.ledger import update_ledger
from millrace.lake.ledger.entries import Kind
from millrace.lake.tables import open_table, query
from millrace.lake.text_files import TextFiles
from tests.faults.losses import touched_days
from tests.faults.nemesis.fault import Fault
from tests.faults.oracle import numbered_records
from tests.faults.scene import Scene
from tests.faults.signals import kill
from tests.faults.streams import Stream
from tests.faults.waiting import await_true

__all__ = ["LOST_OFFSETS", "TOPIC_FAULTS", "await_refusal"]

_SOON = timedelta(seconds=60)
LOST_OFFSETS = 4
"""The exit code of a driver that refuses to go on."""
_KEPT = 30
"""Records of each partition that retention leaves: less than the streams are behind."""

Ranges = dict[int, tuple[int, int]]


def truncate(scene: Scene) -> str:
    """Kafka deletes what the stopped streams have yet to read, as retention does; a person accepts it."""
    with scene.unkept(scene.archive), scene.unkept(scene.speed):
        for stream in scene.streams:
            kill(await_true(f"processes of {stream.title}", lambda s=stream: s.processes(s.driver())))
        following = {"archive": _archived(scene), "speed": _counted(scene)}
        first = _forget(scene)
        lost = {name: _lost(starts, first) for name, starts in following.items()}
        assert lost["archive"], f"the archive was not behind: {following['archive']}, {first}"
        assert lost["speed"], f"the speed layer was not behind: {following['speed']}, {first}"
        ends = {stream.title: stream.exit_codes() for stream in scene.streams}
    for stream in scene.streams:
        await_refusal(stream, ends[stream.title])
    accepted = json.loads(scene.command("accept-loss", stock_ticks.name, "--yes", "--reason", "faults", "--json"))
    told = {checkpoint: _ranges(ranges) for checkpoint, ranges in accepted["streams"].items()}
    assert told == {scene.archive.checkpoint: lost["archive"], scene.speed.checkpoint: lost["speed"]}, (told, lost)
    scene.lost["archive"] += [lost["archive"]]
    scene.lost["speed"] += [lost["speed"]]
    # Both read again what Kafka still has.
    for stream in scene.streams:
        stream.running()
    assert _in_ledger(scene) == _numbers(scene.lost["archive"]), "the ledger accounts for other offsets"
    partial = _check_partial(scene, lost["archive"])
    shown = ", ".join(f"{p}: {start} to {end - 1}" for p, (start, end) in sorted(lost["archive"].items()))
    return (
        f"offsets {shown} deleted unread; both drivers refused to go on (exit code {LOST_OFFSETS}), accepted; {partial}"
    )


def _check_partial(scene: Scene, lost: Ranges) -> str:
    """The days that the loss touches would be published as partial, for these offsets, and no other day would."""
    touched = touched_days((record for _, record in scene.held), lost)
    scene.touch(touched)
    days = sorted({*scene.days, *(day for day in touched if day <= datetime.now(UTC))})
    told = {
        f"accepted loss of {end - start:,} offsets of partition {p} ({start:,} to {end - 1:,})"
        for p, (start, end) in lost.items()
    }
    for day in days:
        reasons = Claim(scene.stack.direct, stock_ticks, scene.interval(day)).partial().partial
        found = {each for each in told if any(reason.startswith(each) for reason in reasons)}
        assert found == (told if day in touched else set()), f"{day:%Y-%m-%d} is partial for {reasons}"
    shown = ", ".join(f"{day:%Y-%m-%d}" for day in days if day in touched)
    return f"{shown} can be published as partial alone, {len(scene.days)} past days are untouched"


def await_refusal(stream: Stream, known: Collection[str]) -> None:
    """Until a driver that is not known has ended for lost offsets, and has said of which topic."""

    def refused() -> str | None:
        ended = stream.exit_codes().items()
        return next((job for job, code in ended if code == LOST_OFFSETS and job not in known), None)

    log = stream.platform.logs(await_true(f"{stream.title} to refuse to go on", refused), 400)
    said = [line for line in log if line.startswith("millrace:")]
    assert any(stock_ticks.name in line for line in said), said


def _forget(scene: Scene) -> dict[int, int]:
    """Waits for unread records, notes what Kafka holds, and deletes all but a few; the first offsets that are left."""
    sent = scene.load.sent
    await_true("unread records", lambda: scene.load.acknowledged > sent + 20 * _KEPT, _SOON)
    held = numbered_records(scene.stack.environment.kafka_bootstrap)
    scene.held += held
    ends: dict[int, int] = {}
    for _, record in held:
        ends[record.partition] = max(ends.get(record.partition, 0), record.offset + 1)
    first = {partition: end - _KEPT for partition, end in ends.items()}
    admin = AdminClient({"bootstrap.servers": scene.stack.environment.kafka_bootstrap, "log_level": 0})
    for done in admin.delete_records([TopicPartition(stock_ticks.name, p, o) for p, o in first.items()]).values():
        done.result(60)
    return first


def _archived(scene: Scene) -> dict[int, int]:
    """Per partition, the offset after the last one in the archive."""
    table = open_table(scene.stack.direct, Lake(scene.stack.direct.lake).raw(stock_ticks.name))
    assert table is not None
    found = query(table, 'SELECT "partition", max("offset") AS "offset" FROM rows GROUP BY "partition"')
    return {row["partition"]: row["offset"] + 1 for row in found}


def _counted(scene: Scene) -> dict[int, int]:
    """Per partition, the offset after the last one in the speed layer's newest micro-batch."""
    checkpoint = Checkpoint(TextFiles(scene.stack.store), scene.speed.checkpoint)
    planned = checkpoint.planned(scene.speed.written())
    assert planned is not None
    return of_topic(planned.end_offsets, stock_ticks.name)


def _lost(starts: dict[int, int], first: dict[int, int]) -> Ranges:
    return {p: (starts.get(p, 0), first[p]) for p in first if starts.get(p, 0) < first[p]}


def _ranges(told: dict[str, list[int]]) -> Ranges:
    return {int(partition): (start, end) for partition, (start, end) in told.items()}


def _numbers(ranges: list[Ranges]) -> set[tuple[int, int]]:
    return {(p, offset) for each in ranges for p, (start, end) in each.items() for offset in range(start, end)}


def _in_ledger(scene: Scene) -> set[tuple[int, int]]:
    ledger = update_ledger(scene.stack.direct, stock_ticks.name).ledger
    found = [entry for entry in ledger.entries if entry.kind == Kind.ACCEPTED]
    return _numbers([{entry.partition: (entry.start, entry.end)} for entry in found])


TOPIC_FAULTS = {fault.name: fault for fault in (Fault("topic truncated by retention", truncate),)}

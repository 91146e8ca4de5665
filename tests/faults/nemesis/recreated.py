"""The topic, deleted and made anew, while its producers write on: nothing can go on, and no answer is touched.

The streams of the topic are refused for good, so nothing can follow: it strikes when all else is done and settled,
while the reader polls on. What a person does then (a topic of a new name, decision 14) is in
`tests/parity/test_recreated_topic.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

from confluent_kafka.admin import AdminClient

from jobs.lake import Lake
from jobs.pipelines.stock_high_low.pipeline import stock_high_low
from jobs.topics import stock_ticks
from millrace.lake.certificate import Claim
from millrace.lake.ledger import update_ledger
from millrace.lake.ledger.entries import Kind
from millrace.lake.offsets import end_offsets
from millrace.lake.tables import open_table, query
from millrace.stack.topics import ensure_topic
from tests.faults.nemesis.fault import Fault, await_reader
from tests.faults.nemesis.topic import LOST_OFFSETS, await_refusal
from tests.faults.oracle import numbered_records
from tests.faults.producer import Load
from tests.faults.scene import Scene
from tests.faults.waiting import await_true

__all__ = ["RECREATED_FAULTS"]

_SOON = timedelta(seconds=60)
_MANY = 500
_REMEDY = "topic of a new name"


def recreate(scene: Scene) -> str:
    """All that was acknowledged before is archived; then the name is another topic's, which is written to."""
    scene.held += numbered_records(scene.stack.environment.kafka_bootstrap)
    scene.is_recreated = True
    before = _rows(scene)
    ends = {stream.title: stream.exit_codes() for stream in scene.streams}
    _delete(scene)
    with _written_to(scene) as load:
        for stream in scene.streams:
            await_refusal(stream, ends[stream.title])
        await_true("records in the topic that was made anew", lambda: load.acknowledged > _MANY)
    for keeper in scene.keepers.values():
        keeper.end()  # for they would be refused for ever
    held = sum(end_offsets(scene.stack.environment, stock_ticks.name).values())
    assert held >= load.acknowledged > _MANY, "the new topic is empty"
    assert _rows(scene) == before, f"the lake has changed: {_rows(scene)}, before {before}"
    return (
        f"another topic of the name has {held:,} records; both drivers refused to go on (exit code {LOST_OFFSETS});"
        f" none of them is in the archive ({before['archive']:,} rows) or in the speed layer ({before['speed']:,})"
    )


def nothing_is_touched(scene: Scene) -> str:
    """The ledger tells it, no interval is certified any more, it cannot be accepted, and the view answers as before."""
    environment, polls = scene.stack.environment, scene.reader.polls
    kinds = {entry.kind for entry in update_ledger(environment, stock_ticks.name).ledger.entries}
    assert Kind.RECREATED in kinds, kinds
    for day in scene.days:
        missing = Claim(environment, stock_ticks, scene.interval(day)).look().missing
        assert missing, f"{day:%Y-%m-%d} would be certified from another topic"
    said = scene.refused_command("accept-loss", stock_ticks.name, "--yes", "--reason", "faults")
    assert _REMEDY in said, said
    await_reader(scene, polls)
    return f"the ledger tells it, no day is certified any more, no loss can be accepted ({_REMEDY!r}); the view answers"


def _delete(scene: Scene) -> None:
    """And makes another one, as an administrator would."""
    admin = AdminClient({"bootstrap.servers": scene.stack.environment.kafka_bootstrap, "log_level": 0})
    admin.delete_topics([stock_ticks.name])[stock_ticks.name].result(60)
    await_true("the end of the topic", lambda: stock_ticks.name not in admin.list_topics(timeout=30).topics, _SOON)
    ensure_topic(scene.stack.environment, stock_ticks.name, stock_ticks.partitions)


@contextmanager
def _written_to(scene: Scene) -> Iterator[Load]:
    """A producer that has not heard of it; when the block has ended, Kafka has answered for every record."""
    load = Load(scene.stack.environment.kafka_bootstrap, scene.folder / "acknowledged-anew.jsonl")
    load.start(scene.plan.live(datetime.now(UTC)))
    try:
        yield load
    except BaseException:
        load.abandon()
        raise
    load.end()


def _rows(scene: Scene) -> dict[str, int]:
    """How many are in the archive, and in the speed layer's log."""
    environment = scene.stack.direct
    lake = Lake(environment.lake)
    tables = {"archive": lake.raw(stock_ticks.name), "speed": lake.speed(stock_high_low.name)}
    found = {name: open_table(environment, uri) for name, uri in tables.items()}
    return {name: int(query(t, "SELECT count(*) AS n FROM rows")[0]["n"]) for name, t in found.items() if t is not None}


RECREATED_FAULTS = {
    fault.name: fault
    for fault in (Fault("topic deleted and made anew", recreate, after=nothing_is_touched, is_last=True),)
}

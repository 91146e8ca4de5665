"""What Kafka has deleted before the archive could read it is a loss at once, not when the archive goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from millrace.environment import Environment
from millrace.lake.ledger import Ledger, update_ledger
from millrace.lake.ledger.ranges import Range
from tests.plugins.lake.ledger.fake_kafka import FakeKafka
from tests.plugins.lake.ledger.raw_rows import archive, write_checkpoint
from tests.plugins.lake.raw_rows import local_environment

TOPIC = "ticks"


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    return local_environment(tmp_path)


def updated(environment: Environment, held: Range, topic_id: str = "id") -> Ledger:
    return update_ledger(environment, TOPIC, ask=FakeKafka(held, topic_id=topic_id)).ledger


def told(ledger: Ledger) -> list[tuple[str, int, int]]:
    return [(entry.kind, entry.start, entry.end) for entry in ledger.entries]


def test_it_is_told_while_the_archive_stands_still_and_grows_with_what_kafka_deletes(here: Environment) -> None:
    write_checkpoint(here, TOPIC, first={0: 0}, ends={0: 4})
    archive(here, TOPIC, range(4), batch=0)
    assert updated(here, (4, 10)).is_complete
    ledger = updated(here, (6, 10))
    assert told(ledger) == [("archived", 0, 4), ("retention loss", 4, 6)]
    assert not ledger.is_accounted_for
    assert ledger.source.coverage == {0: 4}
    found = told(updated(here, (9, 10)))
    assert found == [("archived", 0, 4), ("retention loss", 4, 6), ("retention loss", 6, 9)]


def test_it_ends_where_the_archive_had_read_it_in_time(here: Environment) -> None:
    """A micro-batch that was under way: it had its records before Kafka deleted them."""
    archive(here, TOPIC, range(4))
    assert told(updated(here, (6, 10))) == [("archived", 0, 4), ("retention loss", 4, 6)]
    archive(here, TOPIC, [4, 5, 6])
    ledger = updated(here, (6, 10))
    assert told(ledger) == [("archived", 0, 7)]
    assert ledger.is_complete


def test_another_topic_of_the_name_says_nothing_of_what_is_yet_to_read(here: Environment) -> None:
    archive(here, TOPIC, range(4))
    updated(here, (0, 10))
    assert told(updated(here, (6, 10), topic_id="another")) == [("topic recreated", 0, 0), ("archived", 0, 4)]


def test_an_archive_that_has_noted_where_it_begins_is_owed_all_from_there_before_its_first_micro_batch(
    here: Environment,
) -> None:
    write_checkpoint(here, TOPIC, first={0: 4}, ends={0: 10})
    archive(here, TOPIC, [])  # the table that the query makes when it starts
    ledger = updated(here, (4, 10))
    assert told(ledger) == [("before the archive", 0, 4)]
    assert ledger.is_complete
    assert told(updated(here, (6, 10))) == [("before the archive", 0, 4), ("retention loss", 4, 6)]


def test_an_archive_that_has_not_begun_is_owed_nothing(here: Environment) -> None:
    archive(here, TOPIC, [])
    ledger = updated(here, (6, 10))
    assert (told(ledger), ledger.is_complete) == ([], True)


def test_a_partition_that_was_added_later_is_owed_from_0(here: Environment) -> None:
    write_checkpoint(here, TOPIC, first={1: 4}, ends={1: 10})
    archive(here, TOPIC, range(4, 10), partition=1, batch=0)
    ledger = updated(here, (2, 10))  # of partition 0
    assert [(e.kind, e.start, e.end) for e in ledger.of(0)] == [("retention loss", 0, 2)]

"""What a Kafka that ends below the archive makes of a ledger: nothing while it may be so for a moment only."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from millrace.environment import Environment
from millrace.lake.ledger import Ledger, update_ledger
from tests.plugins.lake.ledger.fake_kafka import FakeKafka
from tests.plugins.lake.ledger.raw_rows import archive, write_checkpoint
from tests.plugins.lake.raw_rows import local_environment

TOPIC = "ticks"
AT_ONCE, SOON = timedelta(0), timedelta(seconds=1.5)


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    """Records 0 to 9 and the marker of their transaction, as far as the archive's checkpoint has planned: to 11."""
    found = local_environment(tmp_path)
    write_checkpoint(found, TOPIC, first={0: 0}, ends={0: 11})
    archive(found, TOPIC, range(10), batch=0)
    return found


def told(ledger: Ledger) -> list[tuple[str, int, int]]:
    return sorted((entry.kind, entry.start, entry.end) for entry in ledger.entries)


WHOLE = [("archived", 0, 10), ("transaction markers", 10, 11)]


@pytest.mark.parametrize("topic_id", ["id", None], ids=["by-id", "of-a-broker-without-ids"])
def test_an_end_that_is_old_for_a_moment_is_not_told_and_loses_nothing(here: Environment, topic_id: str | None) -> None:
    kafka = FakeKafka((0, 7), (0, 11), topic_id=topic_id)
    ledger = update_ledger(here, TOPIC, ask=kafka).ledger
    assert kafka.asked == 2
    assert told(ledger) == WHOLE
    assert ledger.is_complete


def test_an_end_that_is_old_for_a_moment_leaves_an_earlier_ledger_as_it_is(here: Environment) -> None:
    first = update_ledger(here, TOPIC, ask=FakeKafka((0, 11)))
    kafka = FakeKafka((0, 10), (0, 11))
    assert update_ledger(here, TOPIC, ask=kafka).ledger == first.ledger
    assert kafka.asked == 2


def test_a_kafka_that_stops_to_answer_while_it_is_asked_again_proves_nothing(here: Environment) -> None:
    ledger = update_ledger(here, TOPIC, ask=FakeKafka((0, 7), None)).ledger
    assert told(ledger) == [("archived", 0, 10), ("unknown", 10, 11)]
    assert told(update_ledger(here, TOPIC, ask=FakeKafka((0, 11))).ledger) == WHOLE


def test_an_end_that_stays_low_is_a_truncation_told_once(here: Environment) -> None:
    assert told(update_ledger(here, TOPIC, ask=FakeKafka((0, 11))).ledger) == WHOLE
    low = FakeKafka((0, 7))
    report = update_ledger(here, TOPIC, ask=low, patience=SOON)
    assert low.asked >= 3, "it was asked again, until it had been low for as long as that"
    assert told(report.ledger) == [*WHOLE, ("truncation", 7, 7)]
    again = FakeKafka((0, 7))
    assert update_ledger(here, TOPIC, ask=again).ledger == report.ledger
    assert again.asked == 1, "what is told already is not waited for"


def test_a_gap_above_a_known_truncation_is_asked_for_again_too(here: Environment) -> None:
    update_ledger(here, TOPIC, ask=FakeKafka((0, 11)))
    update_ledger(here, TOPIC, ask=FakeKafka((0, 7)), patience=AT_ONCE)
    archive(here, TOPIC, [12])  # the producers went on; offset 11 is a marker
    kafka = FakeKafka((0, 9), (0, 13))
    assert ("transaction markers", 11, 12) in told(update_ledger(here, TOPIC, ask=kafka).ledger)
    assert kafka.asked == 2

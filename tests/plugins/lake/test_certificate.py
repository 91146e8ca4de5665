"""An interval's archive is proven complete, or it is said why not: on real Kafka and a real lake."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from functools import partial

import pytest

from jobs.lake import archive_query
from millrace.environment import Environment
from millrace.lake.certificate import Certificate, Claim, NotArchivedError, certify
from millrace.lake.ledger import update_ledger
from millrace.lake.offsets import KafkaEnd
from tests.plugins.lake.archived_topic import ArchivedTopic, ended, ending
from tests.plugins.lake.ledger.fake_kafka import FakeKafka

HOUR, SECOND = timedelta(hours=1), timedelta(seconds=1)
OVER = timedelta(minutes=5)


@pytest.fixture
def ticks(own_lake: Environment) -> ArchivedTopic:
    """Three records in partition 0, two in partition 1; no archive yet."""
    ticks = ArchivedTopic(own_lake)
    ticks.produce(3, partition=0)
    ticks.produce(2, partition=1)
    return ticks


def test_what_has_all_that_kafka_held_after_the_allowed_lateness_is_proven_complete(ticks: ArchivedTopic) -> None:
    ticks.archive(1, 0)
    ticks.archive(3, 2)
    interval = ended(OVER)
    certificate = ticks.claim(interval).look().proof()
    assert certificate is not None
    assert (certificate.topic, certificate.raw_version, certificate.archive_batch) == (ticks.topic.name, 1, 1)
    assert certificate.coverage == certificate.kafka_end == {0: 3, 1: 2}
    assert certificate.partial == []
    assert datetime.fromisoformat(certificate.kafka_end_at or "") >= interval.end
    assert Certificate.from_json(certificate.to_json()) == certificate


def test_an_archive_that_is_behind_in_one_partition_proves_nothing(ticks: ArchivedTopic) -> None:
    ticks.archive(3, 1)
    look = ticks.claim(ended(OVER)).look()
    assert look.proof() is None
    assert look.missing == (
        "the archive is behind Kafka: partition 1 has 1 of 2; it catches up while the DAG "
        f"'{archive_query(ticks.topic.name)}' runs",
    )


def test_an_archive_that_lacks_a_record_below_its_coverage_proves_nothing(ticks: ArchivedTopic) -> None:
    """The micro-batches end where they should, and say nothing of what is not there."""
    ticks.archive(3, 2)
    update_ledger(ticks.environment, ticks.topic.name)
    ticks.produce(3)
    ticks.skip(4, 2)
    ticks.archive(6, 2)
    look = ticks.claim(ended(OVER)).look()
    (reason,) = look.missing
    assert "(missing: partition 0: offsets 3 to 3 (1))" in reason
    assert look.proof() is None
    assert ticks.claim(ended(OVER)).partial().partial == [reason]
    ticks.skip(3, 2)
    ticks.archive(4, 2)
    ticks.archive(6, 2)
    (doubled,) = ticks.claim(ended(OVER)).look().missing
    assert "the archive has records twice (doubled: partition 0: offsets 4 to 5 (2))" in doubled


def test_a_gap_that_has_been_filled_since_the_last_ledger_refuses_nothing(ticks: ArchivedTopic) -> None:
    ticks.skip(1, 0)
    ticks.archive(3, 2)
    assert not update_ledger(ticks.environment, ticks.topic.name).ledger.is_complete
    ticks.skip(0, 2)
    ticks.archive(1, 2)
    ticks.skip(3, 2)
    ticks.archive(3, 2)
    assert ticks.claim(ended(OVER)).look().missing == ()


def test_a_gap_is_told_of_beside_other_reasons_where_a_partial_answer_is_allowed(ticks: ArchivedTopic) -> None:
    ticks.skip(1, 0)
    ticks.archive(3, 2)
    early = ticks.claim(ending(HOUR))
    assert len(early.look().missing) == 1, "while it waits, the ledger is left alone"
    assert [part in reason for part, reason in zip(("complete from", "missing"), early.partial().partial, strict=True)]


def test_a_kafka_that_has_told_its_end_and_not_what_it_holds_proves_nothing(
    ticks: ArchivedTopic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may be another topic of that name by now, which only the ledger would see."""
    ticks.archive(3, 2)
    claim, unasked = ticks.claim(ended(OVER)), partial(update_ledger, ask=FakeKafka(None))
    with monkeypatch.context() as patched:
        patched.setattr("millrace.lake.ledger.update_ledger", unasked)
        look = claim.look()
    assert look.missing == (
        "the ledger is not up to date, because Kafka could not be asked (Kafka is being restarted)",
    )
    assert look.proof() is None
    assert claim.look(look.needed).proof()


def test_a_topic_that_was_recreated_while_a_claim_waited_proves_nothing_when_it_has_outgrown_the_archive(
    ticks: ArchivedTopic,
) -> None:
    ticks.archive(3, 2)
    assert ticks.claim(ended(OVER)).look().missing == ()
    ticks.produce(1)  # nobody has read it, and nobody can
    ticks.recreate()
    ticks.produce(1)
    waits = ticks.claim(ended(OVER)).look()
    assert "the archive is ahead of Kafka" in waits.missing[0]
    ticks.produce(5, partition=0)
    ticks.produce(5, partition=1)
    look = ticks.claim(ended(OVER)).look(waits.needed)
    assert look.proof() is None
    (reason,) = look.missing
    assert "recreated" in reason
    assert "a topic of a new name" in reason
    assert ticks.claim(ended(OVER)).partial().partial[-1] == reason


def test_a_topic_that_was_recreated_before_the_first_ledger_is_known_by_what_the_archive_has_noted(
    ticks: ArchivedTopic,
) -> None:
    ticks.note_id()
    ticks.archive(3, 2)
    ticks.recreate()
    ticks.produce(3, partition=0)
    ticks.produce(2, partition=1)  # as much as is archived: offsets tell nothing
    (reason,) = ticks.claim(ended(OVER)).look().missing
    assert "recreated" in reason


def test_many_claims_at_once_bring_the_ledger_up_to_date_and_are_all_proven(ticks: ArchivedTopic) -> None:
    ticks.archive(3, 2)
    claims = [ticks.claim(ended(OVER + number * HOUR)) for number in range(6)]
    with ThreadPoolExecutor(6) as several:
        looks = list(several.map(Claim.try_look, claims))
    assert [look.missing for look in looks] == [()] * 6


def test_a_topic_without_an_archive_is_told_apart(ticks: ArchivedTopic) -> None:
    look = ticks.claim(ended(OVER)).look()
    assert look.certificate is None
    assert look.missing == (
        f"topic '{ticks.topic.name}' has no raw archive yet; the DAG '{archive_query(ticks.topic.name)}' starts it",
    )


@pytest.mark.parametrize("ago", [-OVER, OVER], ids=["before its end", "before its allowed lateness"])
def test_an_interval_is_not_complete_before_its_end_and_the_allowed_lateness(
    ticks: ArchivedTopic, ago: timedelta
) -> None:
    ticks.topic = replace(ticks.topic, allowed_lateness=HOUR)
    ticks.archive(3, 2)
    interval = ended(ago)
    look = ticks.claim(interval).look()
    assert look.proof() is None
    assert look.needed is None, "what Kafka holds now is not all of it"
    assert look.missing == (
        f"interval {interval.id} ends at {interval.end:%Y-%m-%d %H:%M:%S} UTC; with the 1:00:00 that topic"
        f" '{ticks.topic.name}' allows its records to be late, it is complete from"
        f" {interval.end + HOUR:%Y-%m-%d %H:%M:%S} UTC on",
    )


def test_records_that_arrive_within_the_allowed_lateness_are_needed(ticks: ArchivedTopic) -> None:
    ticks.archive(3, 2)
    early = KafkaEnd({0: 3, 1: 2}, datetime.now(UTC) - HOUR)  # asked before the interval's end
    claim = ticks.claim(ended(OVER))
    assert claim.look(early).proof() is None
    ticks.produce(1, partition=1)
    look = claim.look()
    assert look.needed is not None
    assert look.needed.offsets == {0: 3, 1: 3}
    assert look.proof() is None


def test_records_that_arrive_after_that_do_not_keep_an_interval_from_being_proven(ticks: ArchivedTopic) -> None:
    ticks.archive(0, 0)
    claim = ticks.claim(ended(OVER))
    needed = claim.look().needed
    ticks.produce(5)
    ticks.archive(3, 2)
    assert claim.look().proof() is None
    certificate = claim.look(needed).proof()
    assert certificate is not None
    assert certificate.kafka_end == {0: 3, 1: 2}


def test_a_topic_that_kafka_does_not_have_proves_nothing(ticks: ArchivedTopic) -> None:
    ticks.archive(3, 2)
    other = ArchivedTopic(ticks.environment)
    other.topic = replace(other.topic, name="never_made")
    other.archive(0, 0)
    look = other.claim(ended(OVER)).look()
    assert look.proof() is None
    assert look.missing == ("Kafka has no topic 'never_made'",)


def test_a_kafka_that_does_not_answer_is_a_reason(ticks: ArchivedTopic, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("millrace.lake.offsets._TIMEOUT_S", 1)
    ticks.archive(3, 2)
    silent = Claim(replace(ticks.environment, kafka_bootstrap="127.0.0.1:1"), ticks.topic, ended(OVER))
    (reason,) = silent.look().missing
    assert reason.startswith("Kafka at 127.0.0.1:1 does not answer")
    assert silent.partial().partial == [reason]


def test_a_lake_that_does_not_answer_is_a_reason_to_wait(ticks: ArchivedTopic) -> None:
    class DownClaim(Claim):
        def look(self, needed: KafkaEnd | None = None, *, at_all: bool = False) -> object:  # type: ignore[override]
            raise ConnectionError("the lake is down")

    needed = KafkaEnd({0: 3}, datetime.now(UTC))
    look = DownClaim(ticks.environment, ticks.topic, ended(OVER)).try_look(needed)
    assert look.missing == ("the archive cannot be read (ConnectionError: the lake is down)",)
    assert look.needed == needed


def test_certifying_waits_until_the_interval_has_ended_and_the_archive_has_caught_up(ticks: ArchivedTopic) -> None:
    ticks.topic = replace(ticks.topic, allowed_lateness=SECOND)
    ticks.archive(3, 2)
    told: list[str] = []

    def tell(reason: str) -> None:
        """A record comes late, before the allowed lateness has passed; once it is missed, it is archived."""
        told.append(reason)
        ticks.produce(1) if len(told) == 1 else ticks.archive(4, 2)

    interval = ending(SECOND)
    certificate = certify(ticks.environment, ticks.topic, interval, wait=timedelta(seconds=30), tell=tell)
    assert len(told) == 2
    assert told[0].startswith(f"interval {interval.id} ends at")
    assert told[1].startswith("the archive is behind Kafka: partition 0 has 3 of 4")
    assert (certificate.coverage, certificate.partial) == ({0: 4, 1: 2}, [])
    assert datetime.fromisoformat(certificate.kafka_end_at or "") >= interval.end + SECOND


def test_certifying_ends_with_the_reason_when_the_wait_is_over(ticks: ArchivedTopic) -> None:
    ticks.archive(3, 0)
    interval = ended(OVER)
    with pytest.raises(NotArchivedError) as refused:
        certify(ticks.environment, ticks.topic, interval, wait=SECOND)
    query = archive_query(ticks.topic.name)
    assert str(refused.value) == (
        f"topic '{ticks.topic.name}', interval {interval.id} is not proven complete after 0:00:01: the archive is"
        f" behind Kafka: partition 1 has 0 of 2; it catches up while the DAG '{query}' runs; only what is complete is"
        f" published: see that the DAG '{query}' runs, then try again, or allow a partial result"
    )


def test_without_an_interval_it_waits_for_what_kafka_holds_now(ticks: ArchivedTopic) -> None:
    with pytest.raises(NotArchivedError, match="no raw archive yet"):
        certify(ticks.environment, ticks.topic, wait=timedelta(0))
    late = threading.Timer(1.0, ticks.archive, (3, 2))
    late.start()
    assert certify(ticks.environment, ticks.topic, wait=timedelta(seconds=30)).coverage == {0: 3, 1: 2}
    late.join()


def test_a_partial_certificate_says_all_that_is_missing_at_once(ticks: ArchivedTopic) -> None:
    ticks.archive(2, 2)
    certificate = ticks.claim(ending(HOUR)).partial()
    assert (certificate.coverage, certificate.kafka_end) == ({0: 2, 1: 2}, {0: 3, 1: 2})
    early, behind = certificate.partial
    assert "complete from" in early
    assert "partition 0 has 2 of 3" in behind


def test_what_is_complete_is_not_partial_although_it_is_allowed(ticks: ArchivedTopic) -> None:
    ticks.archive(3, 2)
    assert ticks.claim(ended(OVER)).partial().partial == []


def test_without_an_archive_nothing_is_partial(ticks: ArchivedTopic) -> None:
    with pytest.raises(NotArchivedError, match=r"no raw archive yet.*without an archive nothing is partial"):
        ticks.claim(ended(OVER)).partial()

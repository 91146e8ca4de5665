"""A topic with a transaction every few records: its ledger stays small, and forgets nothing that it has established."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.environment import Environment
from millrace.lake.ledger import Ledger, update_ledger
from millrace.lake.ledger.entries import Entry, Kind
from millrace.lake.ledger.folding import KEPT, fold
from tests.plugins.lake.ledger.fake_kafka import FakeKafka
from tests.plugins.lake.ledger.raw_rows import archive, raw_uri, write_checkpoint
from tests.plugins.lake.raw_rows import local_environment

TOPIC = "ticks"
EACH, BATCHES = 700, 5  # transactions in a micro-batch: two records and a marker each
END = 3 * EACH * BATCHES - 1  # the last marker is behind what is archived
FORGOTTEN = FakeKafka((END, END))
"""A Kafka that has deleted all: it explains no gap any more."""


def records(batch: int) -> Iterator[int]:
    return (3 * number + each for number in range(batch * EACH, (batch + 1) * EACH) for each in (0, 1))


@pytest.fixture
def here(tmp_path: Path) -> Environment:
    found = local_environment(tmp_path)
    write_checkpoint(found, TOPIC, first={0: 0}, ends={0: 3 * EACH})
    for batch in range(BATCHES):
        archive(found, TOPIC, records(batch), batch=batch)
        update_ledger(found, TOPIC, ask=FakeKafka((0, END)))
    return found


def offsets_by_kind(entries: list[Entry]) -> Counter[str]:
    found: Counter[str] = Counter()
    for entry in entries:
        found.update(entry.detail if entry.kind == Kind.FOLDED else {entry.kind: entry.end - entry.start, "ranges": 1})
    return found


def check_whole(ledger: Ledger) -> None:
    assert len(ledger.entries) <= 2 * KEPT
    assert ledger.is_complete
    assert (ledger.records(0), ledger.covered(0)[-1][1]) == (2 * EACH * BATCHES, END)
    told = {Kind.ARCHIVED: 2 * EACH * BATCHES, Kind.MARKERS: EACH * BATCHES - 1, "ranges": 2 * EACH * BATCHES - 1}
    assert offsets_by_kind(ledger.entries) == told


def test_an_update_costs_what_is_new_not_what_was_committed_before(here: Environment) -> None:
    report = update_ledger(here, TOPIC, ask=FORGOTTEN)
    check_whole(report.ledger)
    assert list(report.ledger.of(0, {Kind.FOLDED}))


def test_what_was_folded_is_remembered_when_the_archive_is_counted_as_a_whole(here: Environment) -> None:
    rewrite(here, lacking=None)
    check_whole(update_ledger(here, TOPIC, ask=FORGOTTEN).ledger)


def test_a_record_that_vanished_from_what_was_folded_is_seen(here: Environment) -> None:
    rewrite(here, lacking=4)
    ledger = update_ledger(here, TOPIC, ask=FORGOTTEN).ledger
    assert not ledger.is_complete
    assert any(entry.kind == Kind.RETENTION and entry.start <= 4 < entry.end for entry in ledger.entries)


def test_a_row_that_is_archived_twice_is_seen_in_what_was_folded(here: Environment) -> None:
    archive(here, TOPIC, [4], batch=BATCHES)
    ledger = update_ledger(here, TOPIC, ask=FORGOTTEN).ledger
    assert [(e.start, e.end) for e in ledger.of(0, {Kind.DOUBLED})] == [(4, 5)]
    assert ledger.records(0) == 2 * EACH * BATCHES


def rewrite(environment: Environment, lacking: int | None) -> None:
    """Another table with the same records, less one, takes the archive's place: no commit tells what has changed."""
    shutil.rmtree(raw_uri(environment, TOPIC).removeprefix("file://"))
    kept = [each for batch in range(BATCHES) for each in records(batch) if each != lacking]
    archive(environment, TOPIC, kept, batch=BATCHES - 1)


KINDS = (Kind.ARCHIVED, Kind.MARKERS, Kind.ABORTED, Kind.COMPACTION, Kind.RETENTION, Kind.UNKNOWN, Kind.DOUBLED)


@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 3), st.integers(0, 1)), max_size=40))
def test_folding_keeps_the_newest_the_losses_and_the_offsets_of_each_kind(drawn: list[tuple[str, int, int]]) -> None:
    entries, at = [], 0
    for kind, length, apart in drawn:
        start = at + apart
        at = start + length
        entries.append(Entry(kind, 0, start, at, length, datetime(2026, 11, 1, tzinfo=UTC), 1))
    once = fold(entries, kept=4)
    for folded in (once, fold(once, kept=4)):
        assert folded[-4:] == entries[-4:]
        assert offsets_by_kind(folded) == offsets_by_kind(entries)
        harmful = [entry for entry in entries if not entry.is_harmless]
        assert [entry for entry in folded if not entry.is_harmless] == harmful
        of_folded = [entry for entry in folded if entry.kind == Kind.FOLDED]
        assert all(entry.records == entry.detail.get(Kind.ARCHIVED, 0) for entry in of_folded)

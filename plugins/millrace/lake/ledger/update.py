"""Bringing a topic's ledger up to date."""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from jobs.accepted_losses import accepted_losses
from jobs.checkpoint import of_topic
from jobs.errors import MillraceError
from jobs.lake import Lake
from jobs.lost_offsets import SETTLED_WITHIN, HeldOffsets
from millrace.environment import Environment
from millrace.lake.coverage import archive_checkpoint
from millrace.lake.ledger.account import Account, Asked, begins
from millrace.lake.ledger.archived import RawState, check_archive, read_archive, read_new
from millrace.lake.ledger.counting import Counted
from millrace.lake.ledger.entries import Kind, Ledger, Source
from millrace.lake.ledger.folding import with_folded
from millrace.lake.ledger.gaps import Witness
from millrace.lake.ledger.kafka_topic import NoAnswerError, ask_kafka
from millrace.lake.ledger.ranges import Ranges
from millrace.lake.ledger.table import create_ledger, read_ledger, write_ledger
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table
from millrace.lake.text_files import TextFiles

if TYPE_CHECKING:
    from deltalake import DeltaTable

__all__ = ["LedgerReport", "update_ledger"]

_ATTEMPTS = 20
_PAUSE_S = 1

Ask = Callable[[Environment, str], Witness]


@dataclass(frozen=True)
class LedgerReport:
    """A ledger that is up to date, and Kafka at this moment: per partition the offset after the last record.

    Where Kafka could not be asked, `kafka_end` is empty and `problem` says why: what it has deleted since, or that it
    has another topic now, is then not known, so nothing is complete although the ledger has no gap.
    """

    ledger: Ledger
    kafka_end: dict[int, int]
    problem: str

    @property
    def is_complete(self) -> bool:
        """Whether the ledger is, by what Kafka says at this moment."""
        return not self.problem and self.ledger.is_complete

    @property
    def is_accounted_for(self) -> bool:
        """The same but for losses that somebody has accepted."""
        return not self.problem and self.ledger.is_accounted_for

    @property
    def partitions(self) -> list[int]:
        return sorted({*self.ledger.partitions, *self.kafka_end})

    def lag(self, partition: int) -> int | None:
        """Offsets of Kafka that the archive has not reached; None where Kafka does not tell."""
        if partition not in self.kafka_end:
            return None
        return max(0, self.kafka_end[partition] - self.ledger.source.coverage.get(partition, 0))


def update_ledger(
    environment: Environment, topic: str, *, ask: Ask = ask_kafka, patience: timedelta = SETTLED_WITHIN
) -> LedgerReport:
    """Accounts for what was archived since the last update, and for every gap.

    One commit, or none where nothing is new. Safe to call from several processes at once. Where Kafka ends below the
    archive, it is asked again: that is established once it has lasted for `patience` (see `Account.doubtful`). Raises
    MillraceError where the topic has no raw archive.
    """
    from deltalake.exceptions import CommitFailedError

    for attempt in range(_ATTEMPTS):
        table = _open(environment, topic)
        old = read_ledger(table, topic)
        report = _next(environment, topic, old, lambda: _ask(environment, topic, ask), patience)
        if report.ledger == old:
            return report
        try:
            write_ledger(table, report.ledger)
            return report
        except CommitFailedError:
            time.sleep(random.uniform(0, 0.1 * (attempt + 1)))
    raise MillraceError(
        f"topic {topic!r}: the ledger could not be written in {_ATTEMPTS} attempts, others kept committing; run"
        f" `millrace ledger {topic}` again"
    )


def _open(environment: Environment, topic: str) -> DeltaTable:
    table = open_table(environment, Lake(environment.lake).ledger(topic))
    if table is not None:
        return table
    check_archive(environment, topic)
    return create_ledger(environment, topic)


def _next(
    environment: Environment, topic: str, old: Ledger | None, ask: Callable[[], Asked], patience: timedelta
) -> LedgerReport:
    """The archive is read before Kafka is asked, so Kafka's end is never behind it but for a loss, or for a moment."""
    checkpoint = archive_checkpoint(environment, topic)
    raw, counted = _count(environment, topic, old, checkpoint.query_id())
    planned = checkpoint.planned(raw.batch) if raw.batch is not None else None
    first, noted_id = checkpoint.first_offsets(), checkpoint.topic_id()
    noted = of_topic(first, topic) if first else None
    coverage = _coverage(counted, of_topic(planned.end_offsets, topic) if planned else {}, old)
    accepted = accepted_losses(TextFiles(LakeStore(environment)), Lake(""), topic)

    def account_of(asked: Asked) -> Account:
        known_id = (old.source.topic_id if old else None) or _archived_id(noted_id, asked)
        begin = begins(old.source.begin if old else {}, noted, counted, asked)
        source = Source(raw.version, raw.commit, raw.batch, asked.topic_id or known_id, begin, coverage)
        return Account(old, counted, source, asked, datetime.now(UTC), accepted, known_id)

    account = _settled(account_of, ask, patience)
    held = account.asked.witness.facts.held if account.asked.witness else {}
    ledger = Ledger(topic, account.source, account.entries())
    return LedgerReport(ledger, {p: end for p, (_, end) in held.items()}, account.asked.why)


def _archived_id(noted: str | None, asked: Asked) -> str | None:
    """The topic's id as the archive's driver has noted it; in Kafka's spelling here where it is the same (see
    `jobs.lost_offsets.HeldOffsets.is_other`)."""
    if noted is None or asked.topic_id is None:
        return noted
    return noted if HeldOffsets(asked.topic_id, {}).is_other(noted) else asked.topic_id


def _settled(account_of: Callable[[Asked], Account], ask: Callable[[], Asked], patience: timedelta) -> Account:
    """By an answer of Kafka in which nothing is doubtful, or what is has been so, at every look, for `patience`."""
    since: dict[int, float] = {}
    while True:
        account, now = account_of(ask()), time.monotonic()
        since = {partition: since.get(partition, now) for partition in account.doubtful()}
        if all(now - moment >= patience.total_seconds() for moment in since.values()):
            return account
        time.sleep(_PAUSE_S)


def _count(environment: Environment, topic: str, old: Ledger | None, query: str | None) -> tuple[RawState, Counted]:
    if old is not None:
        doubled = _by_partition(old, lambda partition: old.ranges(partition, Kind.DOUBLED))
        counted = Counted(_by_partition(old, old.covered), doubled)
        known = RawState(old.source.raw_version, old.source.commit, old.source.batch)
        if raw := read_new(environment, topic, query, known, counted):
            return raw, counted
    raw, counted = read_archive(environment, topic, query)
    with_folded(counted, old.entries if old else ())
    return raw, counted


def _by_partition(ledger: Ledger, of: Callable[[int], Ranges]) -> dict[int, Ranges]:
    return {partition: ranges for partition in ledger.partitions if (ranges := of(partition))}


def _ask(environment: Environment, topic: str, ask: Ask) -> Asked:
    try:
        return Asked(ask(environment, topic))
    except NoAnswerError as error:
        return Asked(None, str(error))


def _coverage(counted: Counted, planned: dict[int, int], old: Ledger | None) -> dict[int, int]:
    """Per partition, the offset below which every record should be archived: it never falls."""
    reached = {partition: ranges[-1][1] for partition, ranges in counted.archived.items() if ranges}
    known = old.source.coverage if old else {}
    partitions = {*reached, *planned, *known}
    return {p: max(found.get(p, 0) for found in (reached, planned, known)) for p in sorted(partitions)}

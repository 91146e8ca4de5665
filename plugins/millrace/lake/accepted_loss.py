"""What people have accepted as lost of a topic, and which intervals that touches: see docs/decisions/0014."""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from jobs.accepted_losses import AcceptedLoss, accepted_losses, lost_within
from jobs.errors import UsageError
from jobs.interval import Interval
from jobs.lake import Lake
from jobs.lost_offsets import NEW_TOPIC, told_ranges
from millrace.environment import Environment
from millrace.lake.store import LakeStore
from millrace.lake.tables import open_table, query
from millrace.lake.text_files import TextFiles

if TYPE_CHECKING:
    from deltalake import DeltaTable

    from millrace.lake.lost_offsets import LostOffsets

__all__ = ["accept_loss", "accepted", "accepted_within", "not_accepted"]

_LISTED = 3
_LOST = "the ledger knows of records that are not in the archive"
_REMEDY = "; what is lost can be accepted: `millrace accept-loss {topic}`"


def accept_loss(environment: Environment, lost: LostOffsets, who: str, reason: str) -> AcceptedLoss:
    """Acknowledges exactly what was found lost; the ledger shows it from now on. Raises UsageError without a reason.

    The stopped streams go on when they are started again.
    """
    from millrace.lake.ledger import update_ledger

    if not reason.strip():
        raise UsageError(f"topic {lost.topic!r}: accepting a loss needs a reason, for whoever finds it in the ledger")
    now = datetime.now(UTC)
    loss = AcceptedLoss(
        id=f"{now:%Y%m%dT%H%M%S%fZ}-{uuid.uuid4().hex[:8]}",
        topic=lost.topic,
        topic_id=lost.held.topic_id,
        who=who,
        when=now,
        reason=reason.strip(),
        kafka=lost.held.partitions,
        skipped=lost.streams,
        lost=lost.ranges,
    )
    path = f"{Lake('').accepted_losses(lost.topic)}/{loss.id}.json"
    LakeStore(environment).write_json(path, loss.to_json())
    update_ledger(environment, lost.topic)
    return loss


def accepted(environment: Environment, topic: str) -> list[AcceptedLoss]:
    """All that was accepted of the topic, oldest first."""
    return accepted_losses(TextFiles(LakeStore(environment)), Lake(""), topic)


def accepted_within(environment: Environment, topic: str, interval: Interval) -> list[str]:
    """Why the interval is partial for ever: a line for each range of lost records that may belong to it."""
    return [told for _, told in lost_within(accepted(environment, topic), interval.start, interval.end)]


def not_accepted(environment: Environment, topic: str) -> list[str]:
    """Why no interval is proven complete: what the ledger, when it was updated last, knew to be lost, missing, doubled,
    or not known yet; and that Kafka counts anew, so that nobody knows what it held before.

    Nothing where nobody has asked for a ledger yet.
    """
    from millrace.lake.ledger.entries import Kind

    table = open_table(environment, Lake(environment.lake).ledger(topic))
    if table is None:
        return []
    told = {
        f"{_LOST}{{}}{_REMEDY.format(topic=topic)}": Kind.LACKING,
        "the ledger does not know yet why records are not in the archive{}; Kafka is asked again": {Kind.UNKNOWN},
        "the archive has records twice{}": {Kind.DOUBLED},
    }
    found = [text.format(gaps) for text, kinds in told.items() if (gaps := _gaps(table, topic, kinds))]
    return [*found, *_counts_anew(table, topic, Kind.LOSSES)]


def _counts_anew(table: DeltaTable, topic: str, kinds: Collection[str]) -> Iterator[str]:
    """From the marks that the ledger keeps, which nobody can accept: see `jobs.offsets_guard`."""
    for mark in _entries(table, kinds, 'AND "start" = "end" LIMIT 1'):
        yield (
            f"the topic was recreated or truncated ({mark['kind']}: partition {mark['partition']} counts anew from"
            f" offset {mark['start']:,}), and what Kafka held before that was not archived is not known: see"
            f" `millrace ledger {topic}`; {NEW_TOPIC}"
        )


def _entries(table: DeltaTable, kinds: Collection[str], which: str) -> list[dict[str, Any]]:
    listed = ", ".join(f"'{kind}'" for kind in sorted(kinds))
    columns = '"kind", "partition", "start", "end"'
    return query(table, f'SELECT {columns} FROM rows WHERE "kind" IN ({listed}) {which}')


def _gaps(table: DeltaTable, topic: str, wanted: Collection[str]) -> str:
    """What the ledger has of these kinds, in words; empty where it has none."""
    found = _entries(table, wanted, 'AND NOT "start" = "end" ORDER BY 2, 3')  # an empty range is a mark, and no gap
    if not found:
        return ""
    kinds = ", ".join(sorted({row["kind"] for row in found}))
    listed = "; ".join(told_ranges({row["partition"]: (row["start"], row["end"])}) for row in found[:_LISTED])
    more = "; …" if len(found) > _LISTED else ""
    return f" ({kinds}: {listed}{more}): see `millrace ledger {topic}`"

"""The certificate of a run: what the archive was proven to hold when the run read it."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.errors import MillraceError
from jobs.interval import Interval
from jobs.lake import archive_query
from jobs.topic import Topic
from millrace.environment import Environment
from millrace.lake.accepted_loss import accepted_within, not_accepted
from millrace.lake.coverage import Coverage, read_coverage
from millrace.lake.offsets import KafkaEnd, current_end
from millrace.lake.topic_change import lacking_events

__all__ = ["Certificate", "Claim", "Look", "NotArchivedError", "await_proof", "certify"]

_POLL = timedelta(seconds=1)
_ALWAYS = datetime.min.replace(tzinfo=UTC)


class NotArchivedError(MillraceError):
    """An interval's archive is not proven complete, or there is no archive."""


@dataclass(frozen=True)
class Certificate:
    """`coverage`: per partition the offset below which everything is archived in `raw_version` of the raw archive.

    It follows from the archive's own commits: the table's newest micro-batch, and the offsets that the checkpoint
    planned for it. `kafka_end` is what Kafka held at `kafka_end_at`, which is not before the interval's end plus the
    topic's allowed lateness; nowhere is it above the coverage. Where that is not proven, `partial` says why: the run
    may be published all the same, as partial. So it does where the interval may lack records whose loss was accepted:
    that is proven, needs no permission, and never changes.
    """

    topic: str
    raw_version: int
    coverage: dict[int, int]
    kafka_end: dict[int, int]
    archive_query_id: str
    archive_batch: int
    certified_at: str
    kafka_end_at: str | None = None
    partial: list[str] = field(default_factory=list)

    def to_json(self) -> dict[str, Any]:
        """A dictionary that JSON can hold: offsets by the partition's number as text."""
        return dict(json.loads(json.dumps(asdict(self))))

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Certificate:
        offsets = {name: {int(p): o for p, o in content[name].items()} for name in ("coverage", "kafka_end")}
        return cls(**{**content, **offsets})


@dataclass(frozen=True)
class Look:
    """What one look at Kafka and the archive found.

    `missing`: why a claim is not proven; empty where it is. `needed`: the offsets that prove it once the archive has
    them, for the next look; None while it is too early to know them.
    """

    missing: tuple[str, ...]
    needed: KafkaEnd | None = None
    certificate: Certificate | None = None

    def proof(self) -> Certificate | None:
        """The certificate of a claim that is proven."""
        return None if self.missing else self.certificate


@dataclass(frozen=True)
class Claim:
    """That the archive of `topic` has all of `interval`; without one, all that Kafka holds now.

    `reads`: the event times that decide the interval's rows, where windows and sessions cross its edges (see
    `Pipeline.reads`); by default the interval's own. `others`: topics from which versions that serve have published the
    interval; a run of `topic` takes their place, so what they have of it must be in `topic` too.

    It is proven when, in every partition, the archive has reached the end that Kafka told at a moment not before
    `due`. That end is asked for once: records which arrive meanwhile do not keep a claim from being proven. Where that
    holds of an interval, the topic's ledger is brought up to date: every offset below the coverage must be archived,
    once, or be an honest gap, or a loss that somebody accepted.
    """

    environment: Environment
    topic: Topic
    interval: Interval | None = None
    reads: Interval | None = None
    others: tuple[Topic, ...] = ()

    @property
    def due(self) -> datetime:
        """When what Kafka holds is all that the run reads: to the interval's end or beyond, plus allowed lateness."""
        if self.interval is None:
            return _ALWAYS
        return self.interval.end + self._beyond_end + self.topic.allowed_lateness

    def look(self, needed: KafkaEnd | None = None, *, at_all: bool = False) -> Look:
        """One look, without waiting. `needed` is that of the look before. Raises what the lake's client raises.

        With `at_all`, gaps of the archive and what another topic has are looked for at all events, not only where
        nothing else is missing.
        """
        end = needed or current_end(self.environment, self.topic.name)
        coverage = read_coverage(self.environment, self.topic)
        missing = (
            *self._unknown(end),
            *self._behind(end, coverage),
            *self._beyond(end, coverage),
        )
        if self.interval and coverage:
            missing = (*missing, *self._gaps(is_new=not end.problem and (at_all or not missing)))
        if at_all or not missing:
            missing = (*missing, *self._left_out())
        is_final = bool(end.offsets) and end.told_at >= self.due
        wanted = self.reads or self.interval
        accepted = accepted_within(self.environment, self.topic.name, wanted) if wanted else []
        certificate = _certificate(self.topic, coverage, end, (*missing, *accepted)) if coverage else None
        return Look(missing, end if is_final else None, certificate)

    def try_look(self, needed: KafkaEnd | None = None) -> Look:
        """The same, but a lake that does not answer is one more reason to wait. Raises MillraceError for damage."""
        try:
            return self.look(needed)
        except MillraceError:
            raise
        except Exception as error:  # noqa: BLE001 - whatever a client of a lake that is down raises
            return Look((f"the archive cannot be read ({type(error).__name__}: {error})",), needed)

    def pause(self, poll: timedelta, deadline: datetime) -> timedelta:
        """How long to wait before the next look: `poll`, but not before `due`, and not beyond the deadline."""
        now = datetime.now(UTC)
        return max(timedelta(0), min(max(poll, self.due - now), deadline - now))

    def partial(self) -> Certificate:
        """What the archive holds now, with the reasons why that is not all; none where it is.

        Raises NotArchivedError where there is no archive.
        """
        look = self.look(at_all=True)
        if look.certificate is None:
            raise NotArchivedError(f"{self.subject}: {'; '.join(look.missing)}; without an archive nothing is partial")
        return look.certificate

    def refusal(self, look: Look, waited: timedelta, again: str) -> str:
        """Why the claim was not accepted after this long, and what to do; `again` says how to try again."""
        return (
            f"{self.subject} is not proven complete after {_shown(waited)}: {'; '.join(look.missing)}; only what is"
            f" complete is published: see that the DAG {archive_query(self.topic.name)!r} runs, then {again}"
        )

    @property
    def subject(self) -> str:
        """What the claim is about."""
        return f"topic {self.topic.name!r}" + (f", interval {self.interval.id}" if self.interval else "")

    @property
    def _beyond_end(self) -> timedelta:
        """How long after the interval's end its rows need events."""
        if self.interval is None or self.reads is None:
            return timedelta(0)
        return max(self.reads.end - self.interval.end, timedelta(0))

    def _unknown(self, end: KafkaEnd) -> Iterator[str]:
        """Why it is not known which offsets the interval needs."""
        if end.told_at < self.due and self.interval:
            yield (
                f"interval {self.interval.id} ends at {self.interval.end:%Y-%m-%d %H:%M:%S} UTC; with"
                f" {f'{self._beyond_end} beyond it that its rows need, and ' if self._beyond_end else ''}the"
                f" {self.topic.allowed_lateness} that topic {self.topic.name!r} allows its records to be late, it is"
                f" complete from {self.due:%Y-%m-%d %H:%M:%S} UTC on"
            )
        if end.problem:
            yield end.problem

    def _behind(self, end: KafkaEnd, coverage: Coverage | None) -> Iterator[str]:
        query = archive_query(self.topic.name)
        if coverage is None:
            yield f"topic {self.topic.name!r} has no raw archive yet; the DAG {query!r} starts it"
            return
        archived = coverage.offsets
        behind = [(p, archived.get(p, 0), to) for p, to in sorted(end.offsets.items()) if archived.get(p, 0) < to]
        if behind:
            listed = ", ".join(f"partition {p} has {offset:,} of {to:,}" for p, offset, to in behind)
            yield f"the archive is behind Kafka: {listed}; it catches up while the DAG {query!r} runs"

    def _gaps(self, is_new: bool) -> list[str]:
        """What the archive lacks below its coverage, as the ledger says; brought up to date where `is_new`."""
        lacking: list[str] = []
        if is_new:
            from millrace.lake.ledger import update_ledger

            if problem := update_ledger(self.environment, self.topic.name).problem:
                lacking = [f"the ledger is not up to date, because Kafka could not be asked ({problem})"]
        return [*lacking, *not_accepted(self.environment, self.topic.name)]

    def _beyond(self, end: KafkaEnd, coverage: Coverage | None) -> Iterator[str]:
        """Offsets that are archived and that Kafka has not reached: it counts anew over other records."""
        archived = coverage.offsets if coverage else {}
        if not any(archived.get(partition, 0) > to for partition, to in end.offsets.items()):
            return
        now = current_end(self.environment, self.topic.name).offsets  # of after the archive was looked at
        beyond = [(p, archived[p], to) for p, to in sorted(now.items()) if archived.get(p, 0) > to]
        if beyond:
            listed = ", ".join(f"partition {p} has {offset:,}, Kafka {to:,}" for p, offset, to in beyond)
            yield (
                f"the archive is ahead of Kafka: {listed}; the topic was recreated or truncated:"
                f" see `millrace ledger {self.topic.name}`"
            )

    def _left_out(self) -> Iterator[str]:
        """What is published of other topics and would vanish from the view."""
        span = self.reads or self.interval
        for other in self.others:
            if span and (found := lacking_events(self.environment, self.topic, other, [span]).get(span)):
                yield (
                    f"the interval is published from topic {other.name!r}, which has {found:,} events of it that topic"
                    f" {self.topic.name!r} lacks: they would vanish from the view; have the same records written to"
                    f" topic {self.topic.name!r} too, or leave the interval to the version that has published it"
                )


def certify(
    environment: Environment,
    topic: Topic,
    interval: Interval | None = None,
    *,
    wait: timedelta = timedelta(minutes=5),
    tell: Callable[[str], object] = lambda reason: None,
) -> Certificate:
    """As `await_proof`, of the claim that the archive of `topic` has all of `interval`."""
    return await_proof(Claim(environment, topic, interval), wait, tell)


def await_proof(claim: Claim, wait: timedelta, tell: Callable[[str], object]) -> Certificate:
    """Waits until the claim is proven; `tell` hears what it waits for, whenever that changes.

    Raises NotArchivedError when it is not proven within `wait`.
    """
    deadline, said = datetime.now(UTC) + wait, ""
    look = claim.try_look()
    while (certificate := look.proof()) is None:
        if datetime.now(UTC) >= deadline:
            raise NotArchivedError(claim.refusal(look, wait, "try again, or allow a partial result"))
        if (reason := "; ".join(look.missing)) != said:
            tell(reason)
        said = reason
        time.sleep(claim.pause(_POLL, deadline).total_seconds())
        look = claim.try_look(look.needed)
    return certificate


def _certificate(topic: Topic, coverage: Coverage, end: KafkaEnd, missing: tuple[str, ...]) -> Certificate:
    return Certificate(
        topic=topic.name,
        raw_version=coverage.raw_version,
        coverage=coverage.offsets,
        kafka_end=end.offsets,
        archive_query_id=coverage.query_id,
        archive_batch=coverage.batch,
        certified_at=datetime.now(UTC).isoformat(),
        kafka_end_at=end.told_at.isoformat() if end.offsets else None,
        partial=list(missing),
    )


def _shown(waited: timedelta) -> str:
    return str(timedelta(seconds=round(waited.total_seconds())))

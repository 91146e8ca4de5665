"""Which intervals a run of a batch DAG covers."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from jobs.errors import UsageError
from jobs.interval import Interval

__all__ = ["RunRequest", "intervals_of_run"]


@dataclass(frozen=True)
class RunRequest:
    """What a run of a batch DAG was started for. `data_interval` is None where the run has none.

    `by_hand` is an id, an ISO date or an ISO time. `repair`: only what has pending late events. `now` is the clock.
    """

    run_type: str
    by_hand: str | None
    repair: bool
    data_interval: tuple[datetime, datetime] | None
    now: datetime

    @classmethod
    def of(cls, context: Any) -> RunRequest:
        """From the context of a task. Raises UsageError where `interval` and `repair` are both given."""
        start, end = context.get("data_interval_start"), context.get("data_interval_end")
        by_hand, repair = (context["params"]["interval"] or "").strip() or None, context["params"]["repair"]
        if by_hand and repair:
            raise UsageError(f"interval {by_hand!r} and repair are both given; a run does one of them; leave one out")
        data_interval = (_plain(start), _plain(end)) if start and end and start < end else None
        return cls(context["dag_run"].run_type.value, by_hand, repair, data_interval, datetime.now(UTC))

    @property
    def is_backfill(self) -> bool:
        return self.run_type == "backfill"

    @property
    def is_scheduled(self) -> bool:
        """True where it also runs what was missed, and leaves what the gate would refuse again."""
        return self.run_type == "scheduled"

    @property
    def repairs_only(self) -> bool:
        """True where the run leaves its data interval alone. A backfill covers its own days, whatever it is told."""
        return self.repair and not self.is_backfill

    @property
    def repairs_until(self) -> datetime | None:
        """Intervals that ended by then may be repaired; None where the run repairs none.

        A scheduled run looks back from its data interval, so that it covers the same when it is cleared.
        """
        if self.repairs_only:
            return self.now
        return self.data_interval[1] if self.is_scheduled and self.data_interval else None


def intervals_of_run(
    length: timedelta, by_hand: str | None, data_interval: tuple[datetime, datetime] | None, now: datetime
) -> list[Interval]:
    """Oldest first: the one asked for by hand, else those that ended within the run's data interval `(start, end]`.

    A run without a data interval, as the REST API makes with a null logical date, covers the last that ended before
    `now`. `by_hand` is an id, an ISO date or an ISO time. Raises UsageError where it is no start of an interval.
    """
    if by_hand and by_hand.strip():
        return [Interval.parse(by_hand.strip(), length)]
    if data_interval is not None:
        after, until = map(_plain, data_interval)
        return Interval.ended_within(after, until, length)
    current = Interval.of(_plain(now), length)
    return [Interval(current.start - length, current.start)]


def _plain(moment: datetime) -> datetime:
    """In UTC, and of the standard library: Airflow's times are pendulum's, which divide differently."""
    return datetime.fromisoformat(moment.astimezone(UTC).isoformat())

"""Which intervals a run of a batch DAG covers."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from jobs.interval import Interval

__all__ = ["intervals_of_run"]


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

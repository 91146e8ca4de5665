"""Intervals: what one batch run covers, `[start, end)` in UTC."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from typing import List

from jobs.errors import UsageError

__all__ = ["EPOCH", "Interval", "floor_to"]

EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
_ID_FORMAT = "%Y%m%dT%H%M%SZ"


@dataclass(frozen=True, order=True)
class Interval:
    """`[start, end)`: aware UTC datetimes, start inclusive, end exclusive."""

    start: datetime
    end: datetime

    @property
    def id(self) -> str:
        """The start in ISO 8601's basic form, such as `20261120T000000Z`: no colons, so safe in paths."""
        return self.start.strftime(_ID_FORMAT)

    @classmethod
    def of(cls, moment: datetime, length: timedelta) -> Interval:
        """The interval of this length that contains the moment. Intervals are aligned to 1970-01-01 UTC."""
        start = floor_to(moment, length)
        return cls(start, start + length)

    @classmethod
    def parse(cls, text: str, length: timedelta) -> Interval:
        """From an id, an ISO date or an ISO datetime (UTC assumed); it must be the start of an interval.

        Raises UsageError when the text is no time or lies inside an interval.
        """
        start = _parse_start(text)
        interval = cls.of(start, length)
        if interval.start != start:
            raise UsageError(
                f"interval {text!r} does not start an interval of {length};"
                f" use {interval.id} or {interval.following().id}"
            )
        return interval

    @classmethod
    def ended_within(cls, after: datetime, until: datetime, length: timedelta) -> List[Interval]:
        """Intervals whose end lies in `(after, until]`, oldest first: what a scheduled run covers."""
        end = floor_to(after, length) + length
        found = []
        while end <= until:
            found.append(cls(end - length, end))
            end += length
        return found

    def following(self) -> Interval:
        """The next interval of the same length."""
        return Interval(self.end, self.end + (self.end - self.start))


def floor_to(moment: datetime, length: timedelta) -> datetime:
    """The latest multiple of `length` since 1970-01-01 UTC that is not after the moment."""
    plain = _utc(moment)
    return plain - (plain - EPOCH) % length


def _utc(moment: datetime) -> datetime:
    """As the standard library's class: Airflow's moments are of a subclass with arithmetic of its own."""
    utc = moment.astimezone(timezone.utc)
    return datetime(
        utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, utc.microsecond, tzinfo=timezone.utc
    )


def _parse_start(text: str) -> datetime:
    try:
        return datetime.strptime(text, _ID_FORMAT).replace(tzinfo=timezone.utc)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(text.replace("Z", "+00:00"))
    except ValueError:
        raise UsageError(f"interval {text!r} is not a time; write it as 2026-11-20 or 20261120T000000Z") from None
    return moment.replace(tzinfo=timezone.utc) if moment.tzinfo is None else moment.astimezone(timezone.utc)

"""Which intervals other runs of a batch DAG are about to run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Collection
from datetime import datetime, timedelta
from typing import Any

import pendulum

from jobs.interval import Interval

__all__ = ["covered_by_runs_in_progress"]

_IN_PROGRESS = ["queued", "running"]
_MICROSECOND = timedelta(microseconds=1)


def covered_by_runs_in_progress(ti: Any, schedule: str, intervals: Collection[Interval]) -> list[Interval]:
    """Those that ended within the data interval of a run that is queued or running, such as a backfill's.

    `ti` is that of a task of the DAG whose cron expression is `schedule`. Asks Airflow once where there is no such run,
    else once for each logical date. What a run by hand does is not known here, nor what another scheduled run has found
    in its look-back: where two run an interval at once, one is published.
    """
    by_date: dict[datetime, list[Interval]] = defaultdict(list)
    for each in intervals:
        by_date[_logical_date(schedule, each)].append(each)

    def in_progress(*dates: datetime) -> bool:
        return bool(ti.get_dr_count(ti.dag_id, logical_dates=list(dates), states=_IN_PROGRESS))

    if not by_date or not in_progress(*by_date):
        return []
    return [each for date, found in by_date.items() if in_progress(date) for each in found]


def _logical_date(schedule: str, interval: Interval) -> datetime:
    """Of the run that covers the interval: the last time of the schedule before the interval's end."""
    from airflow.timetables.interval import CronDataIntervalTimetable  # the SDK's only declares one

    before_end = pendulum.instance(interval.end - _MICROSECOND)
    return CronDataIntervalTimetable(schedule, timezone="UTC").infer_manual_data_interval(run_after=before_end).end

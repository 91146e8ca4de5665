"""The shipped sample data, as the DAG `replay_stock_ticks` sends it by default."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta

from jobs.interval import Interval
from millrace.home import PROJECT_ROOT
from millrace.tasks.produce import sample_files

__all__ = ["sample_intervals"]

_FOLDER = PROJECT_ROOT / "infra" / "local" / "sample_data"


def sample_intervals(length: timedelta) -> list[Interval]:
    """The intervals of this length that the sample files have events in, oldest first."""
    times = set[str]().union(*map(_times, sample_files()))
    return sorted({Interval.of(datetime.fromisoformat(time), length) for time in times})


def _times(name: str) -> set[str]:
    with (_FOLDER / name).open(encoding="utf-8", newline="") as file:
        return {row["event_time"] for row in csv.DictReader(file)}

"""Which layer serves each interval of a view."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.pending_late import pending_late
from millrace.lake.published import publications

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["served_intervals"]

_PARITY = ("equal", "different", "only_batch", "only_speed")


def served_intervals(environment: Environment, pipeline: Pipeline, rows: pa.Table) -> list[dict[str, Any]]:
    """One entry per interval of `rows` (see `read_view`) and per published one, oldest first.

    `parity` counts, `late` (events that the speed layer dropped) and `pending_late` (see
    `millrace.lake.pending_late`) are None where the speed layer serves the interval. An interval that is published
    without rows has 0 of them. `partial`: published from an archive that was not proven complete.
    """
    counted = Counter(_pairs(rows))
    published = {found.interval.id: found for found in publications(environment, pipeline)}
    pending = pending_late(environment, pipeline, list(published.values()))
    found = []
    for interval in sorted({interval for interval, _ in counted} | set(published)):
        served = published.get(interval)
        parity = (served.result.get("parity") or {}) if served else {}
        # What the rows say goes first: the interval may have been published since they were read.
        layer = "batch" if served and (interval, "speed") not in counted else "speed"
        found.append(
            {
                "interval": interval,
                "layer": layer,
                "rows": counted[(interval, layer)],
                **{name: parity.get(name) for name in _PARITY},
                "late": (served.result.get("late") or {}).get("events") if served else None,
                "pending_late": pending[interval] if layer == "batch" else None,
                "partial": bool(served and served.partial),
                "run": served.run if served else None,
                "published_at": served.published_at if served else None,
            }
        )
    return found


def _pairs(rows: pa.Table) -> list[tuple[str, str]]:
    if not rows.num_rows:
        return []
    return list(zip(rows["_interval"].to_pylist(), rows["_layer"].to_pylist(), strict=True))

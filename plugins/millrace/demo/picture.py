"""What the demonstration shows at its end, and whether it held."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.interval import Interval
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.served import served_intervals
from millrace.lake.view import read_view

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["Picture", "problems", "take_picture"]

_DISAGREEMENTS = ("different", "only_batch", "only_speed")


@dataclass(frozen=True)
class Picture:
    """`rows`: the whole view. `served`: see `served_intervals`. `backfilled`: what the batch layer was asked for."""

    rows: pa.Table
    served: list[dict[str, Any]]
    backfilled: list[Interval]

    @property
    def of_backfill(self) -> list[dict[str, Any]]:
        """The entries of `served` for the backfilled intervals."""
        wanted = {interval.id for interval in self.backfilled}
        return [entry for entry in self.served if entry["interval"] in wanted]

    @property
    def equal(self) -> int:
        """Rows of the backfilled intervals on which batch and speed agreed."""
        return sum(entry["equal"] or 0 for entry in self.of_backfill)

    @property
    def disagreeing(self) -> int:
        """Rows of the backfilled intervals on which they did not."""
        return sum(entry[name] or 0 for entry in self.of_backfill for name in _DISAGREEMENTS)


def take_picture(environment: Environment, pipeline: Pipeline, backfilled: list[Interval]) -> Picture:
    """The view as it is now."""
    rows = read_view(environment, pipeline)
    return Picture(rows, served_intervals(environment, pipeline, rows), backfilled)


def problems(picture: Picture) -> list[str]:
    """What of the picture does not hold; empty where all does."""
    found = [] if picture.backfilled else ["no interval was backfilled, so no answer of both layers was compared"]
    entries = {entry["interval"]: entry for entry in picture.of_backfill}
    for interval in picture.backfilled:
        entry = entries.get(interval.id)
        if entry is None or entry["layer"] != "batch":
            found.append(f"interval {interval.id} is not served by the batch layer")
        elif not entry["equal"] or not entry["rows"]:
            found.append(f"interval {interval.id} has no rows that both layers agree on")
        elif wrong := {name: entry[name] for name in _DISAGREEMENTS if entry[name]}:
            found.append(f"interval {interval.id}: batch and speed disagree on rows: {wrong}")
    if not picture.rows.num_rows or "speed" not in picture.rows["_layer"].to_pylist():
        found.append("the speed layer serves no rows")
    return found

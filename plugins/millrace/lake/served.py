"""Which layer and version serve each interval of a view."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from jobs.accepted_losses import lacked_by_speed
from jobs.interval import Interval
from jobs.pipeline import Pipeline
from millrace.environment import Environment
from millrace.lake.accepted_loss import accepted
from millrace.lake.declared import declared
from millrace.lake.late import late_events
from millrace.lake.late_windows import late_by_window
from millrace.lake.pending_late import pending_late
from millrace.lake.published import Publication, all_publications, served_publications
from millrace.lake.serving import preferred_versions

if TYPE_CHECKING:
    import pyarrow as pa

__all__ = ["served_intervals"]

_PARITY = ("equal", "different", "only_batch", "only_speed")


def served_intervals(environment: Environment, pipeline: Pipeline, rows: pa.Table) -> list[dict[str, Any]]:
    """One entry per interval of `rows` (see `read_view`) and per published one, oldest first.

    `parity` counts and `pending_late` (see `millrace.lake.pending_late`) are None where the speed layer serves the
    interval. `late`: events that the speed layer dropped, as the run has counted them; where the speed layer serves the
    interval, as far as they are archived, and None where another decoder archived some; `late_by_window`: of each
    window (see `millrace.lake.late_windows`). An interval that is published without rows has 0 of them. `partial`:
    published from an archive that was not proven complete, or something of it, published or not, was accepted as lost,
    or skipped by the stream whose rows serve it; for `why_partial` (None where it is whole). `version` answers.
    """
    counted = Counter(_answers(rows))
    versions = preferred_versions(environment, pipeline)
    published = {(each.interval.id, each.version): each for each in all_publications(environment, pipeline)}
    answers = {each.interval.id: ("batch", each.version) for each in served_publications(published.values(), versions)}
    # What the rows say goes first: the interval may have been published, or another version switched to, since.
    answers |= {interval: (layer, version) for interval, layer, version in counted}
    served = {key: published[key, version] for key, (layer, version) in answers.items() if layer == "batch"}
    pending = pending_late(environment, pipeline, list(served.values()))
    found = []
    for interval, (layer, version) in sorted(answers.items()):
        found.append(
            {
                "interval": interval,
                "layer": layer,
                "version": version,
                "rows": counted[(interval, layer, version)],
                **_of_run(served.get(interval)),
                **(_of_speed(environment, pipeline, interval, version) if layer == "speed" else {}),
                "pending_late": pending.get(interval),
            }
        )
    return found


def _of_run(publication: Publication | None) -> dict[str, Any]:
    result = publication.result if publication else {}
    parity = result.get("parity") or {}
    return {
        **{name: parity.get(name) for name in _PARITY},
        **_late(result.get("late")),
        "partial": bool(publication and publication.partial),
        "why_partial": "; ".join(publication.partial) or None if publication else None,
        "run": publication.run if publication else None,
        "published_at": publication.published_at if publication else None,
    }


def _of_speed(environment: Environment, pipeline: Pipeline, interval: str, version: str) -> dict[str, Any]:
    of_version = declared(environment, pipeline, version)
    span = Interval.parse(interval, of_version.interval)
    late = late_events(environment, of_version, span, version)
    lacked = lacked_by_speed(accepted(environment, of_version.topic.name), of_version, version, span)
    exact = late.to_json() if late and not late.read_otherwise else None
    return {**_late(exact), "partial": bool(lacked), "why_partial": "; ".join(lacked) or None}


def _late(late: Mapping[str, Any] | None) -> dict[str, Any]:
    return {"late": (late or {}).get("events"), **late_by_window(late)}


def _answers(rows: pa.Table) -> list[tuple[str, str, str]]:
    """Interval, layer and version of each row."""
    if not rows.num_rows:
        return []
    return list(zip(*(rows[name].to_pylist() for name in ("_interval", "_layer", "_version")), strict=True))

"""Late events per window, as metadata holds them: bounded, and telling what is cut."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

__all__ = ["late_by_window"]

_MOST = 500
"""Windows: about 20 kB of JSON."""


def late_by_window(late: Mapping[str, Any] | None) -> dict[str, Any]:
    """`late_by_window`: [start (ISO 8601), events that the speed layer dropped from it] of the windows that lack any,
    in order; `late_windows`: how many there are, and `late_windows_cut`: how many of these are not listed.

    Listed are at most 500, those that lack most; `millrace late PIPELINE INTERVAL` and the run's result have all. Each
    is None where nothing is known. `late`: a run's `late` (see `jobs.late_counts`), or one of the same form.
    """
    if late is None or "windows" not in late:
        return dict.fromkeys(("late_windows", "late_by_window", "late_windows_cut"))
    windows = [list(window) for window in late["windows"]]
    listed = sorted(sorted(windows, key=lambda window: -window[1])[:_MOST])
    return {"late_windows": len(windows), "late_by_window": listed, "late_windows_cut": len(windows) - len(listed)}

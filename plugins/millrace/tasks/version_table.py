"""How a comparison of two versions reads in a log, and in the question whether to switch."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from millrace.lake.compare_versions import IntervalComparison, VersionComparison

__all__ = ["comparison_lines"]


def comparison_lines(found: VersionComparison) -> list[str]:
    """A table in Markdown; intervals on which the versions differ come first."""
    a, b = found.version_a, found.version_b
    about = [f"Rows of version {a}, which is served, against those of {b}:", ""]
    for version, columns in ((a, found.columns_only_a), (b, found.columns_only_b)):
        if columns:
            about[1:1] = [f"Only {version} has the columns {', '.join(columns)}; they are not compared."]
    head = [f"| interval | {a} | {b} | equal | different | only {a} | only {b} |", "| --- " * 7 + "|"]
    ordered = sorted(found.intervals, key=lambda each: (each.is_equal, each.interval))
    return [*about, *head, *map(_line, ordered)]


def _line(each: IntervalComparison) -> str:
    layers = [layer or "nothing" for layer in (each.layer_a, each.layer_b)]
    counts = [f"{count:,}" for count in (each.equal, each.different, each.only_a, each.only_b)]
    return f"| {' | '.join([each.interval, *layers, *counts])} |"

"""The comparison of two versions, for people."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from millrace.lake.compare_versions import IntervalComparison, VersionComparison

__all__ = ["comparison_lines"]

_SHOWN = 10


def comparison_lines(pipeline: str, found: VersionComparison, shown: int = _SHOWN) -> list[str]:
    """What is equal in all, then the first `shown` intervals that differ, each with its worst keys."""
    a, b = found.version_a, found.version_b
    return [
        *_totals(pipeline, found),
        *_columns(a, b, found),
        *_differing(a, b, found, shown),
        *_one_sided(a, b, found),
    ]


def _totals(pipeline: str, found: VersionComparison) -> Iterator[str]:
    shared, a, b = found.shared, found.version_a, found.version_b
    yield f"{pipeline}: version {a} against {b}, by key: {len(shared):,} intervals that both answer"
    counts = {
        "equal": sum(each.equal for each in shared),
        "different": sum(each.different for each in shared),
        f"only in {a}": sum(each.only_a for each in shared),
        f"only in {b}": sum(each.only_b for each in shared),
    }
    width = max(map(len, counts))
    yield from (f"  {title:<{width}}  {count:>12,}" for title, count in counts.items())
    for version, partial in ((a, [each.partial_a for each in shared]), (b, [each.partial_b for each in shared])):
        if any(partial):
            yield f"{sum(partial):,} of these intervals are published by {version} as partial"


def _columns(a: str, b: str, found: VersionComparison) -> Iterator[str]:
    for version, names in ((a, found.columns_only_a), (b, found.columns_only_b)):
        if names:
            yield f"columns with values in {version} alone, not compared: {', '.join(names)}"


def _differing(a: str, b: str, found: VersionComparison, shown: int) -> Iterator[str]:
    differing = [each for each in found.shared if not each.is_equal]
    for each in differing[:shown]:
        one_sided = f"{each.only_a:,} only in {a}, {each.only_b:,} only in {b}"
        counts = f"{each.equal:,} equal, {each.different:,} different, {one_sided}"
        layer_a, layer_b = (
            f"partial {layer}" if is_partial else layer
            for layer, is_partial in ((each.layer_a, each.partial_a), (each.layer_b, each.partial_b))
        )
        yield f"{each.interval} ({layer_a} against {layer_b}): {counts}"
        yield from (f"  {_key(difference['key'])}: {_difference(a, b, difference)}" for difference in each.worst)
    if len(differing) > shown:
        yield f"{len(differing) - shown:,} more intervals differ"


def _one_sided(a: str, b: str, found: VersionComparison) -> Iterator[str]:
    for version, mine in ((a, _answered(found, "layer_b")), (b, _answered(found, "layer_a"))):
        if mine:
            yield f"{len(mine):,} intervals are answered by {version} alone ({mine[0].interval} to {mine[-1].interval})"


def _answered(found: VersionComparison, lacking: str) -> list[IntervalComparison]:
    return [each for each in found.intervals if getattr(each, lacking) is None]


def _key(key: Mapping[str, Any]) -> str:
    return ", ".join(f"{name}={_value(value)}" for name, value in key.items())


def _difference(a: str, b: str, difference: Mapping[str, Any]) -> str:
    if difference["outcome"] != "different":
        return f"only in {a if difference['outcome'] == 'only_a' else b}"
    values: Collection[tuple[str, tuple[Any, Any]]] = difference["values"].items()
    return "; ".join(f"{name} {_value(old)} in {a}, {_value(new)} in {b}" for name, (old, new) in values)


def _value(value: Any) -> str:
    return f"{value:%Y-%m-%d %H:%M:%S}" if hasattr(value, "strftime") else str(value)

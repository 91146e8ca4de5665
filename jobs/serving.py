"""Which version of a pipeline serves an interval. No Spark import here: both sides decide by this."""

from __future__ import annotations

from typing import Dict, Iterable, Sequence, Tuple

__all__ = ["versions_by_interval"]


def versions_by_interval(published: Iterable[Tuple[str, str]], versions: Sequence[str]) -> Dict[str, str]:
    """Per interval (its id) the first of `versions` that has published it; without those that none of them has.

    `published` holds pairs of interval and version. `versions` is the order of preference: a row of `serving`.
    """
    place = {version: number for number, version in enumerate(versions)}
    chosen: Dict[str, str] = {}
    for interval, version in published:
        if version in place and (interval not in chosen or place[version] < place[chosen[interval]]):
            chosen[interval] = version
    return chosen

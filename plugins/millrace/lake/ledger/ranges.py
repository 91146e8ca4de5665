"""Arithmetic of offset ranges. A range is `(start, end)`, end exclusive; `Ranges` are sorted, apart and not empty."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable

__all__ = ["Range", "Ranges", "contains", "intersect", "near", "of_offsets", "size", "subtract", "union"]

Range = tuple[int, int]
Ranges = list[Range]


def union(*several: Iterable[Range]) -> Ranges:
    """What any of them holds; the ranges may overlap, touch, be empty, and come in any order."""
    found: Ranges = []
    for start, end in sorted(pair for ranges in several for pair in ranges):
        if start >= end:
            continue
        if found and start <= found[-1][1]:
            found[-1] = (found[-1][0], max(found[-1][1], end))
        else:
            found.append((start, end))
    return found


def subtract(left: Ranges, right: Ranges) -> Ranges:
    """What `left` holds and `right` does not."""
    found: Ranges = []
    first = 0
    for start, end in left:
        while first < len(right) and right[first][1] <= start:
            first += 1
        position, at = start, first
        while at < len(right) and right[at][0] < end:
            if position < right[at][0]:
                found.append((position, right[at][0]))
            position = max(position, right[at][1])
            at += 1
        if position < end:
            found.append((position, end))
    return found


def intersect(left: Ranges, right: Ranges) -> Ranges:
    """What both hold."""
    return subtract(left, subtract(left, right))


def of_offsets(offsets: Iterable[int]) -> Ranges:
    """The offsets as ranges; they may repeat and come in any order."""
    return union((offset, offset + 1) for offset in offsets)


def contains(ranges: Ranges, offset: int) -> bool:
    at = bisect_right(ranges, offset, key=lambda pair: pair[0]) - 1
    return at >= 0 and offset < ranges[at][1]


def size(ranges: Ranges) -> int:
    """How many offsets they hold."""
    return sum(end - start for start, end in ranges)


def near(ranges: Ranges, distance: int) -> list[Ranges]:
    """The ranges in groups; from one to the next of a group there are at most `distance` offsets."""
    groups: list[Ranges] = []
    for pair in ranges:
        if groups and pair[0] - groups[-1][-1][1] <= distance:
            groups[-1].append(pair)
        else:
            groups.append([pair])
    return groups

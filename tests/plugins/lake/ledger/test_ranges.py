"""Range arithmetic against sets of offsets."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from millrace.lake.ledger.ranges import Ranges, contains, intersect, near, of_offsets, size, subtract, union

OFFSETS = st.sets(st.integers(0, 40))
PAIRS = st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)))


def offsets_of(ranges: Ranges) -> set[int]:
    """Checks the form on the way: sorted, apart, none empty."""
    assert all(start < end for start, end in ranges)
    assert all(left[1] < right[0] for left, right in pairwise(ranges))
    return {offset for start, end in ranges for offset in range(start, end)}


@given(OFFSETS)
def test_offsets_become_the_ranges_that_hold_them(offsets: set[int]) -> None:
    ranges = of_offsets(offsets)
    assert offsets_of(ranges) == offsets
    assert size(ranges) == len(offsets)
    assert {offset for offset in range(-1, 42) if contains(ranges, offset)} == offsets


@given(PAIRS, PAIRS)
def test_union_takes_ranges_in_any_form(left: Ranges, right: Ranges) -> None:
    expected = {offset for start, end in left + right for offset in range(start, end)}
    assert offsets_of(union(left, right)) == expected


@given(OFFSETS, OFFSETS)
def test_subtract_and_intersect_are_those_of_sets(left: set[int], right: set[int]) -> None:
    assert offsets_of(subtract(of_offsets(left), of_offsets(right))) == left - right
    assert offsets_of(intersect(of_offsets(left), of_offsets(right))) == left & right


@given(OFFSETS, st.integers(1, 10))
def test_near_ranges_are_grouped_and_none_is_lost(offsets: set[int], distance: int) -> None:
    ranges = of_offsets(offsets)
    groups = near(ranges, distance)
    assert [pair for group in groups for pair in group] == ranges
    for group in groups:
        assert all(right[0] - left[1] <= distance for left, right in pairwise(group))
    for before, after in pairwise(groups):
        assert after[0][0] - before[-1][1] > distance

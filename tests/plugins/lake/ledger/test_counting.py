"""Counting rows against a plain counter."""

from __future__ import annotations

from collections import Counter

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.lake.ledger import counting
from millrace.lake.ledger.counting import Counted, same_rows
from millrace.lake.ledger.ranges import of_offsets

ROWS = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 15)))


def table(rows: list[tuple[int, int]]) -> pa.Table:
    partitions = pa.array([partition for partition, _ in rows], pa.int32())
    return pa.table({"partition": partitions, "offset": pa.array([offset for _, offset in rows], pa.int64())})


@given(st.lists(ROWS), st.integers(1, 8))
def test_rows_in_any_order_and_portions_are_counted_once_and_doubles_found(
    files: list[list[tuple[int, int]]], chunk_rows: int
) -> None:
    seen = Counter(row for file in files for row in file)
    counted = Counted()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(counting, "_CHUNK_ROWS", chunk_rows)
        counted.add(map(table, files))
    for partition in range(3):
        archived = {offset for p, offset in seen if p == partition}
        doubled = {offset for (p, offset), times in seen.items() if p == partition and times > 1}
        assert counted.archived.get(partition, []) == of_offsets(archived)
        assert counted.doubled.get(partition, []) == of_offsets(doubled)


@given(ROWS, ROWS, st.randoms())
def test_the_same_rows_are_known_in_any_order(
    left: list[tuple[int, int]], right: list[tuple[int, int]], random
) -> None:
    shuffled = random.sample(left, len(left))
    assert same_rows([table(left)], [table(shuffled[:3]), table(shuffled[3:])])
    assert same_rows([table(left)], [table(right)]) == (Counter(left) == Counter(right))

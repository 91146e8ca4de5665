"""From rows of the raw archive to ranges of offsets. Arrow does the work: twelve bytes a row, no Python object each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

import pyarrow as pa
import pyarrow.compute as pc

from millrace.lake.ledger.ranges import Ranges, intersect, union

__all__ = ["COLUMNS", "Counted", "same_rows"]

COLUMNS = ["partition", "offset"]
_SCHEMA = pa.schema([("partition", pa.int32()), ("offset", pa.int64())])
_CHUNK_ROWS = 4_000_000


@dataclass
class Counted:
    """Per partition: the offsets that stand in the archive, and those that stand there more than once."""

    archived: dict[int, Ranges] = field(default_factory=dict)
    doubled: dict[int, Ranges] = field(default_factory=dict)

    def add(self, tables: Iterable[pa.Table]) -> None:
        """Counts rows (`COLUMNS`) that were added to the archive."""
        for chunk in _in_chunks(tables):
            for partition in pc.unique(chunk["partition"]).to_pylist():
                offsets = chunk.filter(pc.field("partition") == partition)["offset"].combine_chunks()
                self._add(partition, *_runs(offsets))

    def _add(self, partition: int, new: Ranges, twice: Ranges) -> None:
        known = self.archived.get(partition, [])
        if doubled := union(twice, intersect(known, new), self.doubled.get(partition, [])):
            self.doubled[partition] = doubled
        self.archived[partition] = union(known, new)


def same_rows(left: Iterable[pa.Table], right: Iterable[pa.Table]) -> bool:
    """Whether both hold the same offsets, each as often."""
    return bool(_sorted(left).equals(_sorted(right)))


def _sorted(tables: Iterable[pa.Table]) -> pa.Table:
    rows = pa.concat_tables([_SCHEMA.empty_table(), *(_normal(table) for table in tables)])
    return rows.sort_by([(name, "ascending") for name in COLUMNS]).combine_chunks()


def _in_chunks(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    held: list[pa.Table] = []
    for table in tables:
        held.append(_normal(table))
        if sum(each.num_rows for each in held) >= _CHUNK_ROWS:
            yield pa.concat_tables(held)
            held = []
    if held:
        yield pa.concat_tables(held)


def _normal(table: pa.Table) -> pa.Table:
    return table.select(COLUMNS).cast(_SCHEMA)


def _runs(offsets: pa.Array) -> tuple[Ranges, Ranges]:
    """The ranges that offsets in any order make, and the ranges of those that are there twice."""
    ordered = offsets.sort()
    again = pc.fill_null(pc.equal(pc.pairwise_diff(ordered), 0), False)
    return _ranges(ordered.filter(pc.invert(again))), _ranges(pc.unique(ordered.filter(again)))


def _ranges(ordered: pa.Array) -> Ranges:
    """Sorted, distinct offsets as ranges: a run begins where the step is not 1 and ends before the next one."""
    if not len(ordered):
        return []
    begins = pc.fill_null(pc.not_equal(pc.pairwise_diff(ordered), 1), True)
    ends = pa.concat_arrays([begins.slice(1), pa.array([True])])
    return list(zip(ordered.filter(begins).to_pylist(), pc.add(ordered.filter(ends), 1).to_pylist(), strict=True))

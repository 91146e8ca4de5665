"""What of a partition is in its replica, worked out by hand."""

from __future__ import annotations

import itertools
import tracemalloc
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from millrace.replication.pairing import Pairing, PartitionReport, RecordFacts, digest

RECORD: RecordFacts = (b"key", b"value", [("name", b"content")], 1_000)


def report(source: str, replica: str) -> PartitionReport:
    """Of records of a letter each, at the offsets 10, 12, 14 …; letters by turns from either side."""
    pairing = Pairing()
    for place, pair in enumerate(itertools.zip_longest(source, replica)):
        if pair[0]:
            pairing.at_source(10 + 2 * place, pair[0].encode())
        if pair[1]:
            pairing.in_replica(pair[1].encode())
    known = [record for record in pairing.surplus if record.decode() in source]
    return pairing.report("topic", 0, 99, known)


@pytest.mark.parametrize(
    ("source", "replica", "expected"),
    [
        # lag, missing, first missing, duplicates, strangers
        ("", "", (0, 0, None, 0, 0)),
        ("abcd", "abcd", (0, 0, None, 0, 0)),
        ("abcd", "ab", (2, 0, None, 0, 0)),
        ("abcd", "", (4, 0, None, 0, 0)),
        ("abcd", "abd", (0, 1, 14, 0, 0)),
        ("abcd", "bc", (1, 1, 10, 0, 0)),
        ("abcd", "abcbcd", (0, 0, None, 2, 0)),
        ("abcd", "abab", (2, 0, None, 2, 0)),
        ("aaa", "aa", (1, 0, None, 0, 0)),
        ("aa", "aaa", (0, 0, None, 1, 0)),
        ("cd", "abcd", (0, 0, None, 0, 2)),
        ("ab", "axb", (0, 0, None, 0, 1)),
    ],
)
def test_each_record_is_replicated_behind_or_missing(source: str, replica: str, expected: Sequence[object]) -> None:
    found = report(source, replica)
    assert (found.lag, found.missing, found.first_missing, found.duplicates, found.strangers) == tuple(expected)
    assert found.records == len(source)
    assert found.replicated == len(source) - found.lag - found.missing
    assert found.is_complete == (found.replicated == len(source))


@given(source=st.text("abc", max_size=12), replica=st.text("abcd", max_size=12))
def test_counts_are_those_of_multisets_however_the_sides_are_read(source: str, replica: str) -> None:
    found = report(source, replica)
    common = sum(min(source.count(each), replica.count(each)) for each in "abcd")
    assert found.replicated == common
    assert found.duplicates == sum(max(0, replica.count(each) - source.count(each)) for each in set(source))
    assert found.strangers == sum(replica.count(each) for each in set(replica) - set(source))


@pytest.mark.parametrize(
    "other",
    [
        (None, b"value", [("name", b"content")], 1_000),
        (b"key", None, [("name", b"content")], 1_000),
        (b"", b"keyvalue", [("name", b"content")], 1_000),
        (b"key", b"value", [], 1_000),
        (b"key", b"value", [("name", None)], 1_000),
        (b"key", b"value", [("name", b"content"), ("name", b"content")], 1_000),
        (b"key", b"value", [("name", b"content")], 1_001),
    ],
)
def test_records_that_differ_in_anything_differ(other: RecordFacts) -> None:
    assert digest(RECORD) == digest((b"key", b"value", [("name", b"content")], 1_000))
    assert digest(RECORD) != digest(other)


def test_null_is_not_empty() -> None:
    assert len({digest((key, value, [], 0)) for key in (None, b"") for value in (None, b"")}) == 4


def test_a_record_that_waits_takes_little_memory() -> None:
    """A dict's entry, a digest and an int; a queue for each would take 760 bytes more."""
    pairing = Pairing()
    tracemalloc.start()
    for offset in range(20_000):
        pairing.at_source(offset, digest((b"key", str(offset).encode(), [], 0)))
    taken, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert pairing.waiting == 20_000
    assert taken / 20_000 < 300

"""Azure's own hashes. Expected values were told by Bicep and Azure, not by this code."""

from __future__ import annotations

import pytest

from millrace.azure.arm.hashing import guid, unique_string


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (("test",), "rbgf3xv4ufgzg"),
        (("abc",), "cgtzqvhu4i23s"),
        (("hello", "world"), "a7wkljktk6wne"),
        (("foo", "bar", "baz"), "xzi4ioaxtmth4"),
        (("/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/my-rg",), "bmg7c6xu4tw46"),
    ],
)
def test_unique_string_is_azures(values: tuple[str, ...], expected: str) -> None:
    assert unique_string(*values) == expected


def test_a_guid_is_stable_and_of_version_5() -> None:
    assert guid("a", "b") == guid("a-b") != guid("a", "c")
    assert guid("a")[14] == "5"
